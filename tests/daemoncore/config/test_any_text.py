"""Whatever stands in a file, reading it ends, with a configuration or with problems."""

import hypothesis
import hypothesis.strategies as st

from daemoncore.config import read

_PIECES = st.sampled_from(
    [
        "HAD_LIST",
        "HAD_USE_PRIMARY",
        "A",
        "B",
        "HAD.A",
        "=",
        ":",
        "+=",
        "+&&=",
        "@=x",
        "@x",
        "$(A)",
        "$(A:$(B))",
        "$(",
        ")",
        "$INT(A)",
        "$INT(1e400)",
        "$INT(A,%05d)",
        "$REAL(A,%s)",
        "$CHOICE(A,1,2)",
        "$SUBSTR(A,1)",
        "$EVAL(9*9)",
        "$Fq(A)",
        "$ENV(HOME)",
        "$RANDOM_INTEGER(1,3)",
        "$RANDOM_CHOICE(a,b)",
        "$$(A)",
        "$(DOLLAR)",
        "if",
        "elif",
        "else",
        "endif",
        "true",
        "defined A",
        "version >= 9.0",
        "version > 1.2",
        "!",
        "use SECURITY : recommended($(1),a)",
        "use ROLE : x",
        "use EXPERIMENTAL:HADFixedPort(a,b,c,d)",
        "warning : x",
        "error : y",
        "include ifexist : /nowhere",
        "#",
        "\\\n",
        "\n",
        "\n",
        "\n",
        " ",
        " ",
        "9" * 30,
        "99999999999 * 99999999999",
        "pow(9,64)",
        "((((",
        "\x00",
        "\udcff",
        "ü",
        ",",
    ]
)


@hypothesis.settings(
    max_examples=300, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(text=st.one_of(st.lists(_PIECES, max_size=30).map("".join), st.text(max_size=60)))
def test_condor_language(text, tmp_path):
    """Any text in HTCondor's language is read to its end; every name can be asked for."""
    path = tmp_path / "any.conf"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    configuration = read(str(path), environment={"HOME": "/nowhere"})
    for name in configuration:
        configuration.text(name)
        configuration.get(name)
        str(configuration.source(name))
    assert all(str(problem) for problem in configuration.problems)


@hypothesis.settings(
    max_examples=200, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(
    keys=st.dictionaries(
        st.sampled_from(
            ["HAD_LIST", "HAD_SELF", "HAD_USE_PRIMARY", "HAD_CONNECTION_TIMEOUT", "HAD_HTTP_PORT", "X"]
        ),
        st.sampled_from(
            ['"$(HAD_SELF)"', '"$INT(x)"', "1", "-1.5", "true", "nan", "inf", '["a", 1]', "[[1]]", "{}"]
        ),
    )
)
def test_toml(keys, tmp_path):
    """Any keys and values in TOML are read to their end."""
    path = tmp_path / "any.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in keys.items()))
    configuration = read(str(path), environment={})
    for name in configuration:
        configuration.get(name)
