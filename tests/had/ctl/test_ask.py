"""Asking members over real connections: each failure is one word, and none holds up the others."""

import time

import attrs
import pytest
import trio

from daemoncore.address import Address
from daemoncore.authorization import Level
from daemoncore.cedar.authentication import Endpoint
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.client import Client
from daemoncore.config import load
from daemoncore.pool_security import security_of
from daemoncore.server import CommandServer
from had.ctl.ask import RequestError, Target, ask_pool, ask_status, request
from had.ctl.pool import Failure
from tests.had.ctl.pools import A, status

HOST = "127.0.0.1"


class Deaf:
    """Hears what the server tells, and needs none of it."""

    def __getattr__(self, _name):
        """Take any call."""
        return lambda *_arguments, **_more: None


@pytest.fixture
def security(tmp_path):
    """The security of a pool on one machine: FS, our own account only."""
    path = tmp_path / "pool.conf"
    path.write_text("HAD_LIST = 127.0.0.1:51450\n")
    return security_of(load(str(path), environment={}), is_tool=True)


async def listen(nursery, handler=None):
    """Open a port, with a raw connection handler or none that ever answers; return its target."""
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    if handler is not None:
        nursery.start_soon(trio.serve_listeners, handler, [listener])
    port = listener.socket.getsockname()[1]
    return Target(f"{HOST}:{port}", Address(HOST, port)), listener


async def serve(nursery, security, *, text=None, level=Level.READ, is_patient=False):
    """Run a command server that answers HAD_STATUS with a text, and HAD_PAUSE with what it was sent."""
    server = CommandServer(security, Deaf())

    async def say(asked):
        if is_patient:
            await trio.sleep_forever()
        await asked.reply(asked.writer().put_string(text))

    async def pause(asked):
        ad = asked.reader.get_ad()
        await asked.reply(asked.writer().put_ad(ClassAd({"Accepted": True, "Text": ad.get_string("Reason")})))

    if text is not None:
        server.register(Command.HAD_STATUS, level, say, has_payload=False)
    server.register(Command.HAD_PAUSE, Level.ADMINISTRATOR, pause)
    (listener,) = await trio.open_tcp_listeners(0, host=HOST)
    nursery.start_soon(server.serve, [listener])
    port = listener.socket.getsockname()[1]
    return Target(f"{HOST}:{port}", Address(HOST, port))


async def asked(security, target, seconds=5.0):
    """What becomes of asking one member."""
    return await ask_status(target, Client(security), seconds)


async def test_a_member_answers(security, nursery):
    """A status comes back typed and as it was sent, with how far the clocks are apart."""
    made = status(A, time=time.time() + 100)
    answer = await asked(security, await serve(nursery, security, text=made.to_text()))
    assert answer.status == made
    assert answer.document == made.to_json()
    assert answer.clock_skew_seconds == pytest.approx(100, abs=1)
    assert answer.seconds > 0


async def test_nobody_listening_is_refused(security, nursery):
    """A port that nobody listens on is a daemon that is gone."""
    target, listener = await listen(nursery)
    await listener.aclose()
    assert (await asked(security, target)).failure is Failure.REFUSED


async def test_a_silent_member_times_out(security, nursery):
    """A member that takes the connection, or even the question, and says nothing, has until the deadline."""
    target, listener = await listen(nursery)
    async with listener:
        answer = await asked(security, target, 0.1)
    assert (answer.failure, answer.detail) == (Failure.TIMEOUT, "nothing came within 0.1 s")
    patient = await serve(nursery, security, text="", is_patient=True)
    assert (await asked(security, patient, 0.3)).failure is Failure.TIMEOUT


async def test_a_name_that_is_not_known_is_unreachable(security):
    """A member without an address is not even tried."""
    answer = await asked(security, Target("nowhere:1", None, "nowhere cannot be resolved"))
    assert (answer.failure, answer.detail) == (Failure.UNREACHABLE, "nowhere cannot be resolved")


async def test_a_member_that_does_not_let_us_in_is_denied(security, nursery):
    """A server that authenticates us and refuses the level is alive."""
    target = await serve(nursery, security, text="", level=Level.CONFIG)
    assert (await asked(security, target)).failure is Failure.DENIED


async def test_a_member_that_does_not_know_the_question_is_told_apart(security, nursery):
    """A daemon without HAD_STATUS, as a real condor_had is, is neither denied nor dead."""
    answer = await asked(security, await serve(nursery, security))
    assert answer.failure is Failure.UNKNOWN_COMMAND
    assert answer.failure.word == "protocol"


@pytest.mark.parametrize(
    ("is_marked", "failure"), [(False, Failure.UNKNOWN_COMMAND), (True, Failure.PROTOCOL)]
)
async def test_a_real_daemon_that_hangs_up_is_told_apart(security, nursery, is_marked, failure):
    """HTCondor's daemons close the connection on a command that they do not have; a second look shows what they are."""
    theirs = attrs.evolve(security, ourselves=attrs.evolve(security.ourselves, is_marked=is_marked))
    server, calls = CommandServer(theirs, Deaf()), []

    async def handler(stream):
        calls.append(stream)
        if len(calls) == 1:
            await stream.receive_some()
            await stream.aclose()
        else:
            await server.serve_connection(
                stream, address=HOST, endpoint=Endpoint(HOST, stream.socket.getsockname()[1])
            )

    target, _ = await listen(nursery, handler)
    assert (await asked(security, target)).failure is failure


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 100, b""])
async def test_a_stranger_speaks_no_protocol(security, nursery, said):
    """Whatever else answers there is no member."""

    async def handler(stream):
        await stream.receive_some()
        await stream.send_all(said)
        await stream.aclose()

    target, _ = await listen(nursery, handler)
    assert (await asked(security, target)).failure is Failure.PROTOCOL


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1}', "[]"])
async def test_an_answer_that_is_no_status_is_refused(security, nursery, text):
    """A member of ours that sends nonsense is not believed."""
    assert (await asked(security, await serve(nursery, security, text=text))).failure is Failure.PROTOCOL


async def test_one_silent_member_does_not_hold_up_the_others(security, nursery):
    """All are asked at once: the whole takes one deadline, however many are silent."""
    good = await serve(nursery, security, text=status(A).to_text())
    ports = [await listen(nursery) for _ in range(3)]
    silent = [target for target, _ in ports]
    began = trio.current_time()
    pool = await ask_pool([silent[0], good, silent[1]], [silent[2]], Client(security), 0.5)
    for _, listener in ports:
        await listener.aclose()
    assert trio.current_time() - began < 1.2
    assert list(pool.answers) == [silent[0].entry, good.entry, silent[1].entry, silent[2].entry]
    assert [answer.failure for answer in pool.answers.values()] == [
        Failure.TIMEOUT,
        None,
        Failure.TIMEOUT,
        Failure.TIMEOUT,
    ]


async def test_a_session_serves_many_questions(security, nursery):
    """The same caller may ask again and again."""
    target = await serve(nursery, security, text=status(A).to_text())
    caller = Client(security)
    for _ in range(3):
        assert (await ask_status(target, caller, 5)).status == status(A)


async def test_requests_are_replied_to(security, nursery):
    """An operator's request comes back with whether it was accepted, and why."""
    target = await serve(nursery, security)
    reply = await request(target, Command.HAD_PAUSE, ClassAd({"Reason": "lunch"}), Client(security))
    assert (reply.is_accepted, reply.text) == (True, "lunch")


async def test_a_request_without_a_reply_says_whose_fault_it_is(security, nursery):
    """A request to nobody, or to somebody who does not know it, is an error that names the member."""
    target, listener = await listen(nursery)
    await listener.aclose()
    caller = Client(security)
    with pytest.raises(RequestError, match=f"{target.entry}: nobody listens there"):
        await request(target, Command.HAD_PAUSE, ClassAd({}), caller)
    with pytest.raises(RequestError, match="does not know the question"):
        await request(await serve(nursery, security), Command.HAD_RESUME, ClassAd({}), caller)
    with pytest.raises(RequestError, match="no such name"):
        await request(Target("x:1", None, "no such name"), Command.HAD_RESUME, ClassAd({}), caller)
