"""A call is traced whole, in the trace of its caller; nobody but a known caller decides whether it is sampled."""

from __future__ import annotations

import json

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import cast

import attrs
import httpx
import pytest

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.audit.logs import checked
from tests.service.test_ext_authz import asked
from tests.support.authority import NO_TRUST, RunningAuthority, StartAuthority, eventually
from tests.support.collector import Collector, attributes_of, collecting
from tests.support.faults import break_audit_log
from tests.support.faulty_store import FaultyStore
from tests.support.logs import capture_logs
from tests.support.platform import running_platform
from tests.support.softhsm import SoftHsm
from tests.support.wire import GENERATE, LIST_PROJECTS, V1, Connect, Wire, records, wait_for_record
from tests.web.posting import post
from tests.web.test_opentok import open_shop
from tokenauthority.interceptors.call import Call, Context
from tokenauthority.interceptors.tracing import SamplingInterceptor
from tokenauthority.service.ext_authz import CHECK
from tokenauthority.telemetry.call_trace import CallTrace, current_trace
from tokenauthority.v1 import project_pb2, session_pb2, token_pb2


TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
CREATE = V1 + "SessionService/CreateSession"
BATCH = V1 + "TokenService/BatchGenerateTokens"
HEALTH = "/grpc.health.v1.Health/Check"


@attrs.frozen(kw_only=True)
class Traced:
    """An authority whose traces a collector gets, and a wire to it."""

    authority: RunningAuthority
    collector: Collector
    wire: Wire

    def calls(self) -> list[Span]:
        """The spans of all calls that have ended."""
        traces = self.authority.app.telemetry.traces
        assert traces is not None
        self.authority.do(traces.turn())
        return self.collector.calls(0)

    def call(self) -> Span:
        """That of the only one."""
        [call] = self.calls()
        return call

    def below(self, call: Span) -> Mapping[str, Span]:
        """The operations of a call, by name."""
        return self.collector.below(call)

    def session(self) -> str:
        """A new session."""
        request = session_pb2.CreateSessionRequest(project_id=self.authority.project_id)
        return session_pb2.CreateSessionResponse.FromString(self.wire.call(CREATE, request).body).session.session_id


class StartTraced:
    """Starts an authority with settings of telemetry."""

    def __init__(self, start: StartAuthority, connect: Connect, collector: Collector) -> None:
        self._start = start
        self._connect = connect
        self._collector = collector

    def __call__(
        self,
        store: FaultyStore | None = None,
        settings: Mapping[str, object] | None = None,
        **values: object,
    ) -> Traced:
        """Start it. It exports when the test asks for that."""
        telemetry = {
            "endpoint": f"http://{self._collector.address}",
            "interval": 300,
            "timeout": 60,
            "metrics": False,
            **values,
        }
        authority = self._start(store=store, settings={"telemetry": telemetry, **(settings or {})})
        return Traced(authority=authority, collector=self._collector, wire=self._connect(authority))


@pytest.fixture
def start_traced(start_authority: StartAuthority, connect: Connect) -> Iterator[StartTraced]:
    """A factory of authorities that one collector traces."""
    with collecting() as collector:
        yield StartTraced(start_authority, connect, collector)


@pytest.fixture
def traced(start_traced: StartTraced) -> Traced:
    """An authority that samples every call of which nobody has decided it."""
    return start_traced()


def context_of(span: Span) -> tuple[str, str]:
    """Its trace and its parent."""
    return span.trace_id.hex(), span.parent_span_id.hex()


def test_a_call_over_grpc_continues_the_trace_of_its_caller(traced: Traced) -> None:
    """By the conventions for RPC, with what tells calls of this server apart."""
    metadata = (("traceparent", SAMPLED), ("tracestate", "vendor=1"), ("x-request-id", "call-7"))
    traced.wire.call(LIST_PROJECTS, metadata=metadata)
    call = traced.call()

    assert (TRACE, PARENT) == context_of(call)
    assert ("tokenauthority.v1.ProjectService/ListProjects", "vendor=1") == (call.name, call.trace_state)
    assert {
        "rpc.system.name": "grpc",
        "rpc.method": "tokenauthority.v1.ProjectService/ListProjects",
        "rpc.response.status_code": "OK",
        "tokenauthority.caller": "tester",
        "tokenauthority.request_id": "call-7",
    } == attributes_of(call.attributes)
    assert 0 < call.end_time_unix_nano - call.start_time_unix_nano < 60e9


def test_a_call_with_json_continues_it_too(traced: Traced) -> None:
    """From the headers of HTTP."""
    post(traced.authority, LIST_PROJECTS, headers={"traceparent": SAMPLED, "tracestate": "vendor=1"})
    call = traced.call()

    assert (TRACE, PARENT, "vendor=1") == (*context_of(call), call.trace_state)
    assert "connectrpc" == attributes_of(call.attributes)["rpc.system.name"]


def test_the_operations_of_a_call_are_below_it(traced: Traced) -> None:
    """What waits for the store, signs, and waits for the audit record."""
    session_id = traced.session()
    request = token_pb2.GenerateTokenRequest(request=token_pb2.TokenRequest(session_id=session_id, role="publisher"))
    traced.wire.call(GENERATE, request)
    created, generated = traced.calls()

    assert {"store get_project", "store create_session", "audit append"} <= traced.below(created).keys()
    below = traced.below(generated)
    assert {"sign SESSION_JWT", "audit append"} <= below.keys()
    for span in below.values():
        assert generated.trace_id == span.trace_id
        assert generated.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= generated.end_time_unix_nano


def batch_of(session_id: str, count: int) -> token_pb2.BatchGenerateTokensRequest:
    """A batch of tokens for one session."""
    item = token_pb2.TokenRequest(session_id=session_id, role="publisher")
    return token_pb2.BatchGenerateTokensRequest(requests=[item] * count)


def test_the_signatures_of_a_batch_are_one_span(traced: Traced) -> None:
    """It says how many they are."""
    assert "OK" == traced.wire.call(BATCH, batch_of(traced.session(), 100)).code
    sign = traced.below(traced.calls()[-1])["sign SESSION_JWT"]

    assert {"tokenauthority.count": 100} == attributes_of(sign.attributes)


def test_signatures_of_an_hsm_are_traced(start_traced: StartTraced, softhsm: SoftHsm) -> None:
    """Though a thread makes them."""
    traced = start_traced(settings={"keys": {"provider": softhsm.uri()}})
    assert "OK" == traced.wire.call(BATCH, batch_of(traced.session(), 3)).code
    sign = traced.below(traced.calls()[-1])["sign SESSION_JWT"]

    assert {"tokenauthority.count": 3} == attributes_of(sign.attributes)


def test_a_session_of_a_platform_is_an_operation(start_traced: StartTraced) -> None:
    """Which the call waits for."""
    with running_platform() as platform:
        traced = start_traced(settings={"platform": {"urls": platform.url, "attempt_timeout": 30}})
        credential = project_pb2.OpenTokCredential(api_key="123456", api_secret="01234567" * 5)
        imported = project_pb2.ImportProjectRequest(opentok=credential, platform_url=platform.url)
        assert "OK" == traced.wire.call(V1 + "ProjectService/ImportProject", imported).code
        assert "OK" == traced.wire.call(CREATE, session_pb2.CreateSessionRequest(project_id="123456")).code

    assert "platform create" in traced.below(traced.calls()[-1])


@pytest.mark.parametrize(
    "traceparent", ["", "00-1-2-3", SAMPLED.upper(), SAMPLED + "x" * 5000, f"00-{'0' * 32}-{PARENT}-01"]
)
def test_a_malformed_context_begins_a_new_trace(traced: Traced, traceparent: str) -> None:
    """The call is answered as any other."""
    outcome = traced.wire.call(LIST_PROJECTS, metadata=(("traceparent", traceparent), ("tracestate", "vendor=1")))
    call = traced.call()

    assert "OK" == outcome.code
    assert (32, "", "") == (len(call.trace_id.hex()), call.parent_span_id.hex(), call.trace_state)
    assert TRACE != call.trace_id.hex()


def test_a_ratio_of_nothing_exports_nothing(start_traced: StartTraced) -> None:
    """Neither of callers nor of strangers."""
    traced = start_traced(sample_ratio=0)
    for key in (None, "", "tak_wrong"):
        traced.wire.call(LIST_PROJECTS, api_key=key)
    post(traced.authority, LIST_PROJECTS)

    assert [] == traced.calls()
    assert [] == traced.collector.headers


def test_the_ratio_is_the_share_of_calls(start_traced: StartTraced) -> None:
    """Some, and not all: the chance that this test fails is 2 ** -199."""
    traced = start_traced(sample_ratio=0.5)
    for _ in range(200):
        traced.wire.call(LIST_PROJECTS)

    assert 0 < len(traced.calls()) < 200


@pytest.mark.parametrize(("ratio", "traceparent", "sampled"), [(0, SAMPLED, True), (1, UNSAMPLED, False)])
def test_a_known_caller_decides_for_its_own_calls(
    start_traced: StartTraced,
    ratio: float,
    traceparent: str,
    sampled: bool,  # noqa: FBT001 - the expected value of a parameter set
) -> None:
    """A trace that others have begun to record is whole, and one that they do not record is not begun here."""
    traced = start_traced(sample_ratio=ratio)
    traced.wire.call(LIST_PROJECTS, metadata=(("traceparent", traceparent),))
    post(traced.authority, LIST_PROJECTS, headers={"traceparent": traceparent})

    assert [(TRACE, PARENT)] * (2 if sampled else 0) == [context_of(call) for call in traced.calls()]


def test_an_sdk_of_opentok_decides_for_its_own_calls(start_traced: StartTraced) -> None:
    """It is the caller itself, as one over gRPC is."""
    traced = start_traced(sample_ratio=0)
    shop = open_shop(traced.authority)
    assert 200 == shop.post(x_opentok_auth=shop.jwt(), traceparent=SAMPLED).status_code

    assert [(TRACE, PARENT)] == [context_of(call) for call in traced.calls()]


@pytest.mark.parametrize("key", ["", "tak_wrong"])
def test_a_stranger_forces_no_sampling(start_traced: StartTraced, key: str) -> None:
    """Whoever proves no caller could fill the collector."""
    traced = start_traced(sample_ratio=0)
    traced.wire.call(LIST_PROJECTS, api_key=key, metadata=(("traceparent", SAMPLED),))
    post(traced.authority, LIST_PROJECTS, api_key=key, headers={"traceparent": SAMPLED})

    assert [] == traced.calls()


async def test_no_context_counts_without_a_caller() -> None:
    """Wherever the step stands, and whatever the method is."""
    call = Call("/x/Public", cast("AsyncIterator[object]", None), cast("Context", None), streaming=False)
    call.metadata["traceparent"] = [SAMPLED]
    trace = CallTrace()
    token = current_trace.set(trace)

    async def answer(_: Call) -> object:
        return b"answer"

    assert b"answer" == await SamplingInterceptor(lambda: False).intercept(call, answer)
    current_trace.reset(token)

    assert (None, None) == (trace.sampled, trace.context)


def test_a_stranger_joins_no_trace(traced: Traced) -> None:
    """A refused call has a trace of its own, which says why it was refused."""
    traced.wire.call(LIST_PROJECTS, api_key="tak_wrong", metadata=(("traceparent", SAMPLED),))
    call = traced.call()
    facts = attributes_of(call.attributes)

    assert TRACE != call.trace_id.hex()
    assert b"" == call.parent_span_id
    assert ("UNAUTHENTICATED", "CREDENTIAL_INVALID") == (
        facts["rpc.response.status_code"],
        facts["tokenauthority.reason"],
    )
    assert "tokenauthority.caller" not in facts
    assert Status.STATUS_CODE_UNSET == call.status.code


@pytest.mark.parametrize("ratio", [0, 1])
def test_what_a_proxy_passes_on_forces_no_sampling(start_traced: StartTraced, ratio: int) -> None:
    """The end user has sent it, whoever that is. The trace goes on all the same where the server samples it."""
    traced = start_traced(sample_ratio=ratio)
    authority = traced.authority
    headers = {"x-api-key": authority.api_key, "traceparent": SAMPLED if ratio == 0 else UNSAMPLED}
    url = f"{authority.api_url}/check?session_id=1&permission=subscribe"
    httpx.get(url, headers=headers, verify=NO_TRUST)
    traced.wire.call(CHECK, asked("/live"), metadata=(("traceparent", headers["traceparent"]),))

    assert [(TRACE, PARENT)] * (2 * ratio) == [context_of(call) for call in traced.calls()]
    assert ["check", "envoy"][: 2 * ratio] == [
        attributes_of(call.attributes)["tokenauthority.transport"] for call in traced.calls()
    ]


def test_health_checks_are_not_traced(traced: Traced) -> None:
    """They come every few seconds."""
    assert "OK" == traced.wire.call(HEALTH).code

    assert [] == traced.calls()


def test_an_unknown_method_has_no_name_of_its_own(traced: Traced) -> None:
    """A scanner can name anything. The conventions of OpenTelemetry call it an error."""
    traced.wire.call("/scan/Method1")
    call = traced.call()

    assert ("grpc", "_OTHER") == (call.name, attributes_of(call.attributes)["rpc.method"])
    assert Status.STATUS_CODE_ERROR == call.status.code


def test_a_failure_of_the_server_is_an_error(start_traced: StartTraced) -> None:
    """The mistake of a caller is none: the conventions of OpenTelemetry say so."""
    store = FaultyStore()
    traced = start_traced(store=store)
    store.fail("list_projects")
    traced.wire.call(LIST_PROJECTS)
    traced.wire.call(LIST_PROJECTS, b"\xff")
    failed, mistaken = traced.calls()

    assert (Status.STATUS_CODE_ERROR, "UNAVAILABLE") == (
        failed.status.code,
        attributes_of(failed.attributes)["error.type"],
    )
    assert "STORE_UNAVAILABLE" == attributes_of(failed.attributes)["tokenauthority.reason"]
    assert "UnavailableError" == attributes_of(traced.below(failed)["store list_projects"].attributes)["error.type"]
    assert Status.STATUS_CODE_UNSET == mistaken.status.code


def test_an_answer_that_could_not_be_recorded_is_an_error(traced: Traced) -> None:
    """The span says what the caller saw."""
    break_audit_log(traced.authority.audit_path)
    traced.wire.call(LIST_PROJECTS)
    call = traced.call()

    assert "AUDIT_UNAVAILABLE" == attributes_of(call.attributes)["tokenauthority.reason"]
    assert "UnavailableError" == attributes_of(traced.below(call)["audit append"].attributes)["error.type"]


def test_a_deadline_that_passed_is_an_error(start_traced: StartTraced) -> None:
    """The conventions of OpenTelemetry say so."""
    store = FaultyStore()
    traced = start_traced(store=store, settings={"limits": {"max_deadline": 0.05}})
    store.hold("list_projects")
    traced.wire.call(LIST_PROJECTS)
    call = traced.call()

    assert "DEADLINE_EXCEEDED" == attributes_of(call.attributes)["rpc.response.status_code"]
    assert Status.STATUS_CODE_ERROR == call.status.code


def test_a_caller_that_left_is_no_error(start_traced: StartTraced) -> None:
    """The span ends when the call does."""
    store = FaultyStore()
    traced = start_traced(store=store)
    hold = store.hold("list_projects")
    pending = traced.wire.start(LIST_PROJECTS)
    hold.wait()
    pending.cancel()
    wait_for_record(traced.authority, "CANCELLED")
    eventually(lambda: bool(traced.calls()), "the call was not traced")
    call = traced.call()

    assert "CANCELLED" == attributes_of(call.attributes)["rpc.response.status_code"]
    assert Status.STATUS_CODE_UNSET == call.status.code
    assert "CancelledError" == attributes_of(traced.below(call)["store list_projects"].attributes)["error.type"]


def test_the_export_hears_whether_the_caller_is_known(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives strangers half of its places."""
    heard: list[bool] = []
    monkeypatch.setattr(traced.authority.app.telemetry.traces, "add", lambda _, *, known: heard.append(known))
    for key in (None, "", "tak_wrong"):
        traced.wire.call(LIST_PROJECTS, api_key=key)

    assert [True, False, False] == heard


def test_a_bug_of_the_export_fails_no_call(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit line already says how the call has ended. The log says what is wrong."""

    def fail(*_: object, **__: object) -> None:
        raise LookupError

    monkeypatch.setattr(traced.authority.app.telemetry.traces, "add", fail)
    with capture_logs() as logs:
        answered = traced.wire.call(LIST_PROJECTS)
        refused = traced.wire.call(LIST_PROJECTS, api_key="tak_wrong")
        over_http = post(traced.authority, LIST_PROJECTS)

    assert ("OK", "UNAUTHENTICATED", 200) == (answered.code, refused.code, over_http.status_code)
    assert ["telemetry.bug"] * 3 == [line["event"] for line in logs if line["log_level"] == "error"]


def test_the_audit_line_has_the_trace(start_traced: StartTraced) -> None:
    """Also that of a call that is not sampled; and the log verifies as ever."""
    traced = start_traced(sample_ratio=0)
    traced.wire.call(LIST_PROJECTS, metadata=(("traceparent", UNSAMPLED), ("x-request-id", "known")))
    traced.wire.call(LIST_PROJECTS, api_key="tak_wrong", metadata=(("traceparent", UNSAMPLED),))
    known, stranger = _records(traced, 2)
    report = checked(traced.authority.audit_path)

    assert ("known", TRACE) == (known["request_id"], known["trace_id"])
    assert (32, False) == (len(str(stranger["trace_id"])), stranger["trace_id"] == TRACE)
    assert report.bad is None


def test_the_audit_line_has_the_trace_that_is_exported(traced: Traced) -> None:
    """Whoever reads one finds the other."""
    traced.wire.call(LIST_PROJECTS)
    [line] = _records(traced, 1)

    assert traced.call().trace_id.hex() == line["trace_id"]


def test_without_telemetry_no_line_has_a_trace(running_authority: RunningAuthority, wire: Wire) -> None:
    """Whatever the caller sends."""
    wire.call(LIST_PROJECTS, metadata=(("traceparent", SAMPLED),))

    assert ["trace_id" in line for line in records(running_authority.audit_path)] == [False]


def _records(traced: Traced, count: int) -> list[dict[str, object]]:
    lines = records(traced.authority.audit_path)
    assert count == len(lines), json.dumps(lines)
    return lines
