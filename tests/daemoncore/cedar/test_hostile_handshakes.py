"""Handshakes with whoever does not mean well: any bytes, flipped bytes, forged proofs."""

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemoncore.cedar.akep2 import Secret
from daemoncore.cedar.authentication import Endpoint
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.client_handshake import ClientHandshake, ClientRequest, Established, Failed
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.handshake import Ourselves, Outcome, Refusal
from daemoncore.cedar.policy import SecurityPolicy, Wish
from daemoncore.cedar.server_conversation import CommandReceived, Refused, ServerConversation
from daemoncore.cedar.sessions import SessionCache, SessionNumbers
from daemoncore.cedar.stream import Stream
from tests import vector_files
from tests.daemoncore.cedar import replayed_handshakes as replayed

POLICY = SecurityPolicy(
    authentication=Wish.REQUIRED,
    encryption=Wish.REQUIRED,
    integrity=Wish.REQUIRED,
    methods=("FS", "TOKEN", "PASSWORD", "CLAIMTOBE"),
)
ENDPOINT = Endpoint("10.99.0.2", 51450)


def dice(purpose, length):
    """Return dice that always show the same."""
    return (purpose.encode() * length)[:length]


@attrs.define
class Password:
    """Credentials on both sides that know one password, or two different ones."""

    key: bytes = b"k"
    folder: replayed.RecordedFolders = attrs.field(factory=lambda: replayed.RecordedFolders(owner="root"))

    def claimed_name(self):
        """Claim nothing."""

    def folders(self):
        """Have folders."""
        return self.folder

    def folder_parent(self):
        """Use the usual place."""
        return "/tmp"

    def user_domain(self):
        """Have a domain."""
        return "example.org"

    def token_secret(self, *_arguments):
        """Have no token."""

    def secret_of_token(self, *_arguments):
        """Know no token."""

    def password_secret(self, _version):
        """Know the password."""
        return Secret("condor@password", self.key)


def server(policy=POLICY, key=b"k", **arguments):
    """Return a server that wants everything."""
    gate = replayed.OpenGate(policy, commands=(55, 60011), without_payload=(60011,), **arguments)
    numbers = SessionNumbers("cm1", 1, 0)
    return ServerConversation(gate, Ourselves(), Password(key), SessionCache(), numbers, (ENDPOINT,), dice)


def client(policy=POLICY, key=b"k", folder=None, **arguments):
    """Return a client of it."""
    request = ClientRequest(command=55, policy=policy, endpoint=ENDPOINT, **arguments)
    return ClientHandshake(request, Ourselves(), Password(key, folder or replayed.RecordedFolders()), dice)


def converse(ours, theirs, change=lambda data: data):
    """Let a client and a server talk until nothing more is said; return the client's result and the server's events."""
    to_server, result, events = ours.start(0.0), None, []
    while to_server:
        events += theirs.receive_data(to_server, 0.0)
        to_client, to_server = change(theirs.data_to_send()), b""
        if to_client and result is None:
            result = ours.receive_data(to_client, 0.0)
            to_server = ours.data_to_send()
    return result, events


@pytest.mark.parametrize("method", ["FS", "PASSWORD"])
def test_our_client_and_our_server_understand_each_other(method):
    """By each method the client is let in, knows who it is, and both see the marker."""
    policy = attrs.evolve(POLICY, methods=(method,))
    ours, theirs = client(policy), server(policy)
    result, events = converse(ours, theirs)
    assert isinstance(result, Established)
    assert events == []
    assert result.peer.is_ours and theirs.peer.is_ours
    assert result.our_identity.user == theirs.peer.identity.user
    assert result.our_identity.method == method
    events = theirs.receive_data(ours.stream.encode(ours.stream.writer().put_string("payload")), 0.0)
    assert [event.reader.get_string() for event in events] == ["payload"]


def test_a_failed_method_is_followed_by_the_next():
    """A client that could not make the folder logs in by password."""
    ours, theirs = client(folder=replayed.RecordedFolders(is_making=False)), server()
    result, events = converse(ours, theirs)
    assert result.our_identity.method == "PASSWORD"
    assert events == []


def test_two_passwords_do_not_meet():
    """With different passwords neither side believes the other."""
    policy = attrs.evolve(POLICY, methods=("PASSWORD",))
    result, events = converse(client(policy, key=b"k"), server(policy, key=b"l"))
    assert isinstance(result, Failed)
    assert result.outcome is Outcome.NOT_AUTHENTICATED
    assert [event.refusal for event in events] == [Refusal.NOT_AUTHENTICATED]


def test_a_failed_login_that_need_not_be_goes_on_as_a_stranger():
    """Where both sides only prefer a login, the command is a stranger's, still encrypted."""
    policy = attrs.evolve(POLICY, methods=("PASSWORD",), authentication=Wish.PREFERRED)
    ours, theirs = client(policy, key=b"k"), server(policy, key=b"l")
    result, events = converse(ours, theirs)
    assert result.our_identity.user == theirs.peer.identity.user == "unauthenticated@unmapped"
    assert ours.stream.is_encrypted
    assert events == []


def test_a_forged_proof_gets_no_answer_and_no_command():
    """The recorded dishonest client hears nothing after its proof, as from a real server, and then that nothing is left."""
    connection = vector_files.conversation("05-idtokens", "c6")
    request = replayed.recorded_ad(connection, "negotiation request", "request")
    theirs = server(attrs.evolve(POLICY, methods=("TOKEN",)))
    theirs._credentials = replayed.RecordedServer(b"another key")
    events, answers = [], []
    for entry in connection["stream"]:
        if entry.get("dir") == "c2s":
            events += theirs.receive_data(vector_files.wire_bytes(entry), 0.0)
            answers.append(bool(theirs.data_to_send()))
    assert request["AuthMethods"] == "TOKEN"
    assert answers == [True, True, True, False, True]
    assert [event.refusal for event in events] == [Refusal.NOT_AUTHENTICATED]


PATHS = [
    # what a server asks us to make, what is made
    ("/tmp/FS_10.99.0.2_51450_x_", "/tmp/FS_10.99.0.2_51450_x_10.99.0.2:51450"),
    ("/tmp/FS_anything_", "/tmp/FS_anything_10.99.0.2:51450"),
    ("/tmp/FS_10.99.0.2_51450_x", "/tmp/FS_10.99.0.2_51450_x"),
    ("/tmp/FS_10.99.0.9_51450_x", None),
    ("/tmp/FS_x", None),
    ("/etc/x_", None),
    ("tmp/FS_x_", None),
    ("/tmp/../FS_x_", None),
    ("", None),
]


@pytest.mark.parametrize(("path", "expected"), PATHS)
def test_a_client_makes_no_folder_for_another_server(path, expected):
    """A name that is not bound to the server that was dialled, or is not of this kind, is not made."""
    folders = replayed.RecordedFolders()
    ours, theirs, wire = client(folder=folders), server(), Stream()
    theirs.receive_data(ours.start(0.0), 0.0)
    ours.receive_data(theirs.data_to_send(), 0.0)
    ours.receive_data(wire.encode(wire.writer().put_int(4)), 0.0)
    ours.receive_data(wire.encode(wire.writer().put_string(path)), 0.0)
    assert folders.made == ([expected] if expected else [])


def test_a_folder_is_removed_when_the_connection_ends_halfway():
    """Whatever happens after the folder was made, it does not stay."""
    folders = replayed.RecordedFolders()
    ours, theirs = client(folder=folders), server()
    theirs.receive_data(ours.start(0.0), 0.0)
    for _ in range(2):
        ours.receive_data(theirs.data_to_send(), 0.0)
        theirs.receive_data(ours.data_to_send(), 0.0)
    assert len(folders.made) == 1
    assert folders.removed == []
    ours.close()
    assert folders.removed == folders.made


EXTENSIONS = [
    ("10.99.0.2:51450", True),
    ("", True),
    ("10.99.0.3:51450", False),
    ("10.99.0.2:51451", False),
    ("10.99.0.2:51450?sock=had", False),
    ("/../../root", False),
]


@pytest.mark.parametrize(("extension", "expected"), EXTENSIONS)
def test_a_server_believes_a_folder_only_for_itself(extension, expected):
    """A proof that was made for another address is not a proof for us."""
    theirs = server(attrs.evolve(POLICY, methods=("FS",)))
    theirs.receive_data(client().start(0.0), 0.0)
    wire = Stream()
    theirs.data_to_send()
    theirs.receive_data(wire.encode(wire.writer().put_int(4)), 0.0)
    theirs.data_to_send()
    writer = wire.writer().put_int(0)
    if extension:
        writer.put_string(extension)
    theirs.receive_data(wire.encode(writer), 0.0)
    wire.receive_data(theirs.data_to_send())
    assert (wire.next_message().get_int() == 0) is expected


def test_somebody_in_between_cannot_talk_both_out_of_encryption():
    """When the keys are cut out of the messages, neither side goes on."""
    ours, theirs = client(), server()

    def cut(data):
        wire = Stream()
        wire.receive_data(data)
        ad = wire.next_message().get_ad().without("ECDHPublicKey")
        return Stream().encode(wire.writer().put_ad(ad))

    result, _ = converse(ours, theirs, cut)
    assert result.outcome is Outcome.DISAGREED
    request = ClassAd(POLICY.attributes()).with_values({"Command": 55, "NewSession": "YES"})
    wire = Stream()
    [event] = server().receive_data(wire.encode(wire.writer().put_int(60010).put_ad(request)), 0.0)
    assert (type(event), event.refusal) == (Refused, Refusal.DISAGREED)


RECORDED = [
    vector_files.conversation(name, identifier)
    for name, identifier in (
        ("07-had", "h1"),
        ("07-had", "h2"),
        ("11-bindings-claimtobe", "c5"),
        ("11-bindings-fs", "c5"),
    )
]


@pytest.mark.parametrize("connection", RECORDED)
@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_flipped_bit_and_no_command_arrives(connection, data):
    """Whatever single bit of an encrypted connection is changed on its way to the server, its command does not come out."""
    messages = [vector_files.wire_bytes(entry) for entry in connection["stream"] if entry.get("dir") == "c2s"]
    index = data.draw(st.integers(0, len(messages) - 1))
    position = data.draw(st.integers(0, len(messages[index]) - 1))
    flipped = bytearray(messages[index])
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    messages[index] = bytes(flipped)
    conversation = replayed.server(connection)
    gate = conversation._gatekeeper
    gate.policy = attrs.evolve(
        gate.policy, authentication=Wish.REQUIRED, encryption=Wish.REQUIRED, integrity=Wish.REQUIRED
    )
    events = []
    for message in messages:
        events += conversation.receive_data(message, replayed.RECORDED_AT)
        conversation.data_to_send()
    assert not [event for event in events if isinstance(event, CommandReceived)]


@given(data=st.binary(max_size=300))
def test_a_server_survives_any_bytes(data):
    """Any bytes lead to events, and whole input to the same as byte by byte."""
    whole = server()
    events = whole.receive_data(data, 0.0)
    bytewise, single = server(), []
    for byte in data:
        single += bytewise.receive_data(bytes([byte]), 0.0)
    assert [type(event) for event in events] == [type(event) for event in single]
    assert whole.data_to_send() == bytewise.data_to_send()


@given(data=st.binary(max_size=300))
def test_a_client_survives_any_bytes(data):
    """Any bytes lead to a result, to waiting, or to a breach of the protocol."""
    ours = client()
    ours.start(0.0)
    try:
        result = ours.receive_data(data, 0.0)
    except WireError:
        return
    assert not isinstance(result, Established)


VALUES = st.one_of(
    st.text(alphabet="YESNORQUIDFTKAP,0123456789", max_size=12), st.integers(-2, 70000), st.booleans()
)
NAMES = st.sampled_from(
    [
        *POLICY.attributes(),
        "Command",
        "AuthCommand",
        "UseSession",
        "Sid",
        "Nonce",
        "ResumeResponse",
        "ECDHPublicKey",
        "RemoteVersion",
        "SessionDuration",
        "SessionLease",
        "HadProtocol",
        "ReturnCode",
        "AuthMethodsList",
        "AuthRequired",
    ]
)
ADS = st.dictionaries(NAMES, VALUES)


@given(ad=ADS, masks=st.lists(st.integers(-1, 4096), max_size=4))
def test_a_server_survives_any_request(ad, masks):
    """Whatever a well-formed request says, the server answers or refuses, and hands out no command."""
    theirs, wire = server(), Stream()
    base = client()._policy_ad(None)
    events = theirs.receive_data(wire.encode(wire.writer().put_int(60010).put_ad(base.with_values(ad))), 0.0)
    for mask in masks:
        events += theirs.receive_data(Stream().encode(wire.writer().put_int(mask)), 0.0)
    assert not [event for event in events if isinstance(event, CommandReceived)]


@given(ad=ADS, numbers=st.lists(st.integers(-1, 4096), max_size=4))
def test_a_client_survives_any_response(ad, numbers):
    """Whatever a well-formed response says, a client that requires everything is not talked into going on."""
    ours, wire = client(), Stream()
    ours.start(0.0)
    base = ClassAd(
        {"Authentication": "YES", "Encryption": "YES", "Integrity": "YES", "AuthMethodsList": "FS"}
    )
    messages = [
        wire.writer().put_ad(base.with_values(ad)),
        *(wire.writer().put_int(number) for number in numbers),
    ]
    for message in messages:
        try:
            result = ours.receive_data(wire.encode(message), 0.0)
        except WireError:
            return
        if result is not None:
            assert isinstance(result, Failed)
            return
