"""What holds for every test."""

import hypothesis

# A busy machine is no fault of the code: pytest-timeout bounds each test, and nothing measures its examples.
hypothesis.settings.register_profile("project", deadline=None, print_blob=True)
hypothesis.settings.load_profile("project")
