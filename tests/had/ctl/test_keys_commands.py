"""Keys and tokens: written once, for the owner only, and good for a login."""

import stat

import pytest

from daemoncore.cedar.tokens import parse_token, sign_token
from daemoncore.config import load
from daemoncore.pool_security import security_of
from had.ctl.__main__ import main
from had.ctl.keys_commands import KEY_BYTES, new_key


@pytest.fixture
def configuration(tmp_path):
    """A configuration whose secrets are below a folder of the test's own."""
    path = tmp_path / "pool.conf"
    path.write_text(
        "HAD_LIST = 127.0.0.1:51450\nTRUST_DOMAIN = pool.example\n"
        f"SEC_PASSWORD_DIRECTORY = {tmp_path}/passwords.d\nSEC_TOKEN_DIRECTORY = {tmp_path}/tokens.d\n"
    )
    return str(path)


def credentials(configuration):
    """What the daemon finds there."""
    return security_of(load(configuration, environment={}), is_tool=True).credentials


def test_create_makes_a_key_that_the_daemon_uses(configuration, tmp_path, capsys):
    """The key is where the daemon looks for it, nobody else may read it, and no byte is zero."""
    assert main(["keys", "create", "-c", configuration]) == 0
    path = tmp_path / "passwords.d" / "POOL"
    assert capsys.readouterr().out == f"{path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert credentials(configuration).signing_key_names() == ("POOL",)
    content = path.read_bytes()
    assert len(content) == KEY_BYTES
    assert 0 not in content


def test_create_overwrites_only_when_forced(configuration, tmp_path, capsys):
    """A key that exists stays, unless --force says otherwise."""
    main(["keys", "create", "-c", configuration])
    path = tmp_path / "passwords.d" / "POOL"
    first = path.read_bytes()
    assert main(["keys", "create", "-c", configuration]) == 1
    assert "exists already" in capsys.readouterr().err
    assert path.read_bytes() == first
    assert main(["keys", "create", "-c", configuration, "--force"]) == 0
    assert path.read_bytes() != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_create_writes_where_it_is_told(configuration, tmp_path):
    """--file names another place."""
    assert main(["keys", "create", "-c", configuration, "--file", str(tmp_path / "k")]) == 0
    assert (tmp_path / "k").stat().st_size == KEY_BYTES


def test_keys_are_different():
    """Two keys are not the same."""
    assert new_key() != new_key()


def test_a_token_is_printed_and_good(configuration, capsys):
    """The token names whom it should, is limited and ends as told, and its signature is the key's."""
    main(["keys", "create", "-c", configuration])
    capsys.readouterr()
    words = [
        "--identity",
        "alice@pool.example",
        "--lifetime",
        "1h",
        "--authz",
        "read",
        "--authz",
        "ADMINISTRATOR",
    ]
    assert main(["keys", "token", "-c", configuration, *words]) == 0
    token, signature = parse_token(capsys.readouterr().out)
    assert (token.subject, token.issuer, token.key_name) == ("alice@pool.example", "pool.example", "POOL")
    assert token.limits == {"READ", "ADMINISTRATOR"}
    assert token.claims["exp"] - token.claims["iat"] == 3600
    assert signature == sign_token(token, credentials(configuration).signing_key("POOL"))


def test_a_token_in_the_token_directory_is_found(configuration, tmp_path, capsys):
    """--token writes a file that the daemon finds when it logs in; without --identity it is for condor."""
    main(["keys", "create", "-c", configuration])
    assert main(["keys", "token", "-c", configuration, "--token", "operator"]) == 0
    path = tmp_path / "tokens.d" / "operator"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token, _ = parse_token(path.read_text())
    assert (token.subject, token.limits, "exp" in token.claims) == ("condor@pool.example", None, False)
    (tmp_path / "passwords.d" / "POOL").unlink()
    assert credentials(configuration).token_secret("pool.example", ("POOL",), "") is not None
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "no signing key that can be used"),
        (["--key", "OTHER"], "at OTHER"),
    ],
)
def test_without_a_key_there_is_no_token(configuration, capsys, words, reason):
    """A missing key is named, with what would make one."""
    assert main(["keys", "token", "-c", configuration, *words]) == 1
    assert reason in capsys.readouterr().err


def test_a_token_file_stays_in_its_directory(configuration, tmp_path, capsys):
    """A name with a path in it is refused."""
    main(["keys", "create", "-c", configuration])
    assert main(["keys", "token", "-c", configuration, "--token", "../stray"]) == 1
    assert "letters, digits" in capsys.readouterr().err
    assert not (tmp_path / "stray").exists()


def test_an_unknown_level_is_wrong_usage(configuration, capsys):
    """--authz takes HTCondor's levels only."""
    with pytest.raises(SystemExit, match="2"):
        main(["keys", "token", "-c", configuration, "--authz", "EVERYTHING"])
    assert "must be one of" in capsys.readouterr().err
