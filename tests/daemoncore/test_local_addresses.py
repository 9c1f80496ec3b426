"""What the resolver is asked, and that whatever it cannot be asked is an unknown name."""

import pytest

from daemoncore import local_addresses


def test_a_number_is_its_own():
    """Nobody is asked about a numeric address."""
    assert local_addresses.resolve("2001:DB8::1") == ("2001:db8::1",)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example.org", "nowhere.invalid"])
def test_what_is_no_name_is_unknown(host):
    """An empty label, or one that is too long, is no other failure than a name that nobody knows."""
    with pytest.raises(OSError):
        local_addresses.resolve(host)
