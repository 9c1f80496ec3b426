"""Secrets on disk: which are believed, which are passed over, and what follows from them."""

import os
import time
from pathlib import Path

import pytest

from daemoncore.cedar.akep2 import CONDOR_PASSWORD
from daemoncore.cedar.keys import pool_signing_key, scramble
from daemoncore.cedar.tokens import mint_token, parse_token
from daemoncore.credentials import Credentials, CredentialSettings, LocalFolders

NEW = "$CondorVersion: 25.14.0 2026-11-22 PRE-RELEASE-UWCS $"
OLD = "$CondorVersion: 23.8.1 2024-06-27 BuildID: 1 $"


@pytest.fixture
def complaints():
    """What was said about files that were passed over."""
    return []


@pytest.fixture
def credentials(tmp_path, complaints):
    """Credentials in a folder, with a key called POOL, one called AP, and a token of each."""
    for folder in ("passwords", "tokens"):
        (tmp_path / folder).mkdir()
    for name in ("POOL", "AP"):
        write(tmp_path / "passwords" / name, scramble(name.encode() * 8))
    settings = CredentialSettings(
        user_domain="example.org",
        trust_domain="pool",
        token_directories=(tmp_path / "tokens",),
        password_directory=tmp_path / "passwords",
        pool_key_file=tmp_path / "passwords" / "POOL",
        password_file=tmp_path / "passwords" / "POOL",
    )
    return Credentials(settings, lambda path, reason: complaints.append((Path(path).name, reason)))


def write(path, content):
    """Write a secret that only its owner may read."""
    path.write_bytes(content)
    path.chmod(0o600)


def add_token(credentials, name, **changes):
    """Put a token of ours into the folder of tokens, and return it."""
    arguments = {
        "signing_key": credentials.signing_key("POOL"),
        "issuer": "pool",
        "subject": "alice@example.org",
        "identifier": name,
        "now": time.time(),
    } | changes
    text = mint_token(arguments.pop("signing_key"), **arguments)
    write(credentials.settings.token_directories[0] / name, f"# a comment\n\n{text}\n".encode())
    return text


def test_keys_are_found_by_name(credentials):
    """POOL is doubled, others are not, and the names are those of the files."""
    assert credentials.signing_key("POOL") == b"POOL" * 16
    assert credentials.signing_key("AP") == b"AP" * 8
    assert credentials.signing_key("NOSUCH") is None
    assert credentials.signing_key_names() == ("AP", "POOL")


@pytest.mark.parametrize("name", ["", ".", "..", "../passwords/AP", "/etc/passwd", "AP\0", ".hidden", "a/b"])
def test_a_strangers_key_name_leads_nowhere(credentials, name):
    """The name of a key comes from a stranger's token and must not lead out of the folder."""
    assert credentials.signing_key(name) is None


def test_a_secret_that_others_may_read_is_none(credentials, complaints):
    """A file with a mode too open is passed over, with a hint."""
    (credentials.settings.password_directory / "AP").chmod(0o640)
    assert credentials.signing_key("AP") is None
    assert complaints == [("AP", "others may read or write it (mode 0640); chmod 600 it")]


def test_a_pipe_in_a_secrets_place_does_not_stop_us(credentials, complaints):
    """What is no plain file is passed over at once."""
    path = credentials.settings.password_directory / "PIPE"
    os.mkfifo(path, 0o600)
    assert credentials.signing_key("PIPE") is None
    assert complaints == [("PIPE", "it is no plain file")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_file_is_no_secret_of_ours(credentials, complaints):
    """A file that belongs to another account could have been put there."""
    os.chown(credentials.settings.password_directory / "AP", 12345, 12345)
    assert credentials.signing_key("AP") is None
    assert "belongs to user 12345" in complaints[0][1]


def test_a_token_is_chosen_for_the_server(credentials):
    """The first one in order that is of the server's trust domain and signed by a key that it holds."""
    add_token(credentials, "1-other", issuer="other", subject="other@x")
    add_token(credentials, "2-ap", key_name="AP", signing_key=credentials.signing_key("AP"), subject="ap@x")
    add_token(credentials, "3-pool", subject="pool@x")
    assert credentials.token_secret("pool", ("POOL",), NEW).name == "pool@x"
    assert credentials.token_secret("pool", ("POOL", "AP"), NEW).name == "ap@x"
    assert credentials.token_secret("other", (), NEW).name == "other@x"
    assert credentials.token_secret("nowhere", (), NEW) is None


def test_a_holder_of_the_key_needs_no_token(credentials):
    """Within our own trust domain we mint a token for a minute, under the name that the peer's version expects."""
    assert credentials.token_secret("pool", ("POOL",), NEW).name == CONDOR_PASSWORD
    assert credentials.token_secret("pool", ("POOL",), OLD).name == "condor_pool@"
    assert credentials.token_secret("other", ("POOL",), NEW) is None
    assert credentials.token_secret("pool", ("NOSUCH",), NEW) is None
    secret = credentials.token_secret("pool", ("NOSUCH", "AP"), NEW)
    token, _ = parse_token(secret.token_text)
    assert (token.key_name, token.claims["exp"] - token.claims["iat"]) == ("AP", 60)


def test_an_expired_token_is_passed_over(credentials, complaints):
    """An old token does not stand in the way of a good one."""
    add_token(credentials, "1-old", now=time.time() - 100, lifetime_seconds=60, subject="old@x")
    write(credentials.settings.token_directories[0] / "2-junk", b"no token at all\n")
    add_token(credentials, "3-good", subject="good@x")
    assert credentials.token_secret("pool", ("POOL",), NEW).name == "good@x"
    assert [name for name, _ in complaints] == ["1-old", "2-junk"]


def test_a_server_derives_the_clients_secret(credentials):
    """From the token without its signature and our key comes the same secret that the client has."""
    text = add_token(credentials, "token")
    theirs = credentials.token_secret("pool", ("POOL",), NEW)
    token, ours = credentials.secret_of_token(text.rpartition(".")[0], time.time())
    assert ours == theirs
    assert token.subject == "alice@example.org"


@pytest.mark.parametrize("text", ["", "x.y", "nonsense"])
def test_a_server_refuses_what_is_no_token(credentials, text):
    """Nonsense has no secret."""
    assert credentials.secret_of_token(text, 0.0) is None


def test_the_pool_password_has_two_names(credentials):
    """Its holder's name depends on the age of the peer."""
    assert credentials.password_secret(NEW).name == CONDOR_PASSWORD
    assert credentials.password_secret(OLD).name == "condor_pool@example.org"
    assert credentials.password_secret(NEW).key == credentials.password_secret(OLD).key
    assert len(credentials.password_secret(NEW).key) == 20


def test_without_secrets_there_is_nothing(tmp_path):
    """Missing files are no error."""
    missing = tmp_path / "missing"
    settings = CredentialSettings("x", "x", (missing,), missing, missing, missing)
    empty = Credentials(settings)
    assert empty.signing_key_names() == ()
    assert empty.token_secret("x", ("POOL",), NEW) is None
    assert empty.password_secret(NEW) is None
    assert pool_signing_key(b"") == b""


def test_a_folder_proves_its_owner(tmp_path):
    """A folder of mode 0700 shows whose it is."""
    folders, path = LocalFolders(maps_root_to_condor=False), str(tmp_path / "FS_x")
    assert folders.is_free(path)
    assert folders.make_folder(path)
    assert not folders.make_folder(path)
    assert not folders.is_free(path)
    assert folders.owner_of(path)
    folders.remove_folder(path)
    assert folders.is_free(path)


def test_what_is_no_such_folder_proves_nothing(tmp_path):
    """Links, files, folders of another mode and names that cannot be have no owner."""
    folders = LocalFolders()
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "good").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "good")
    (tmp_path / "file").write_text("")
    (tmp_path / "crowded").mkdir(mode=0o700)
    (tmp_path / "crowded" / "inner").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("open", "link", "file", "crowded", "missing", "\0"):
        assert folders.owner_of(f"{tmp_path}/{name}") is None
    assert not folders.is_free(str(tmp_path / "dangling"))
    assert not folders.make_folder(f"{tmp_path}/\0")
    folders.remove_folder(f"{tmp_path}/missing")
