"""What goes wrong inside the app's container when it starts or serves."""

from __future__ import annotations

from tasks.failures.catalogue.logs import READ_ITS_LOG, RUN_LOG
from tasks.failures.catalogue.rule import NO, Rule, rule
from tasks.failures.cause import Cause

_RUN_LINK = "https://cloud.google.com/run/docs/troubleshooting"


CONTAINER_CRASH = (
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The image was built for another processor: Cloud Run needs linux/amd64.",
        "Build with `docker build --platform linux/amd64`, or let Cloud Build do it (`gcloud builds submit`).",
        "https://cloud.google.com/run/docs/container-contract",
        r"exec format error",
        r"must support (?:amd64|linux)",
        r"no matching manifest for linux|does not match the (?:specified|detected host) platform",
        r"no child with platform",
    ),
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The container ran out of memory.",
        "Give it more (`memory` in slipway.yaml), or use less.",
        "https://cloud.google.com/run/docs/configuring/services/memory-limits",
        r"memory limit of|(?:reached|exceed\w*|hit)[^\n]{0,30} (?:memory|heap)(?: limits?)?",
        r"(?:memory|heap)[^\n]{0,30} (?:limits?|exceeded|exhausted|full)",
        r"out[- ]of[- ]memory|outofmemory\w*|oomkilled|oom-kill",
        r"exceeded (?:its |the )?memory|using too much memory",
        r"cannot allocate memory",
    ),
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The container's command cannot be run.",
        "Correct ENTRYPOINT, CMD or `command` (the file must be in the image, be executable and end its "
        "lines with LF); try the image with `docker run`.",
        "https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start",
        r"application failed to start",
        r"application exec likely failed|container sandbox:|missing script: \"?start",
        r"failed to load /",
        r"failed to create containerd|containerd task|oci runtime|runc create",
        r"executable file not found|exec: \"|no such file or directory: unknown",
        r"invalid command|permission denied: unknown",
        r"exec /\S+: ",
    ),
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The program may not listen on the port that it wants.",
        "Let it listen on the port in the PORT variable; a program that is not root needs one above 1023 "
        "(`port` in slipway.yaml).",
        "https://cloud.google.com/run/docs/container-contract#port",
        r"bind(?:\(\))? to \S+ failed \(13|listen (?:eacces|tcp \S+ bind): permission denied",
    ),
)

# The port message is what Cloud Run says of every container that ends early: what its log says counts more.
_PORT_MESSAGE = r"\A(?=[\s\S]*(?:listen on the port|startup probe))(?=[\s\S]*(?:"
_NOT_FOUND = r"(?:\bsh|bash|exec|env): [^\n]{1,80}: not found"
_NO_OBJECT = r"failed to find attribute '|error loading asgi|could not import module"


def _no_program(pattern: str) -> Rule:
    return rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The container is to run a program that is not in its image.",
        "Install it in the Dockerfile (pip, npm or apt-get), or correct ENTRYPOINT or CMD; `docker run` with the same "
        "image says the same.",
        "https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start",
        pattern,
    )


def _no_object(pattern: str) -> Rule:
    return rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The web server in the container does not find the app that it is to serve.",
        "Correct MODULE:NAME in ENTRYPOINT or CMD: `gunicorn main:app` serves the variable app of main.py, which must be "
        "in the image's working folder.",
        "https://cloud.google.com/run/docs/quickstarts/build-and-deploy/deploy-python-service",
        pattern,
    )


NO_PROGRAM = _no_program(_NOT_FOUND)  # in a build it is one of the build's
CRASH_BEHIND_PORT = (
    _no_program(f"{_PORT_MESSAGE}{_NOT_FOUND}))"),
    _no_object(f"{_PORT_MESSAGE}{_NO_OBJECT}))"),
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The program in the container ended with an error before it listened.",
        READ_ITS_LOG,
        _RUN_LINK,
        _PORT_MESSAGE
        + r"traceback \(most|cannot find module|uncaught|unhandled|panic: |[a-z_.]*[a-z]{2}(?:error|exception): "
        r"|exit\([1-9]|worker failed to boot))",
    ),
)

PROGRAM_FOR_SURE = (
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The program in the container ended with an error.",
        READ_ITS_LOG,
        _RUN_LINK,
        r"container called exit\([1-9]\d*\)|container (?:has )?(?:exited|terminated|crashed)",
        r"instance (?:was )?(?:terminated|crashed)|instance (?:could|did|can)(?: not|n't) start",
        r"(?:containers?|instances?|workers?)[^\n]{0,40} (?:exited|crashed|died|(?:could|did|can)(?: not|n't) start)",
        r"nonzeroexitcode",
    ),
)

PROGRAM = (
    NO_PROGRAM,
    _no_object(_NO_OBJECT),
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "The program in the container ended with an error when it started or served.",
        READ_ITS_LOG,
        _RUN_LINK,
        r"uncaught signal",
        r"improperlyconfigured|validation error for \w+|class uri '",
        r"container_crashed|(?:application|container) startup error",
        r"(?:\bsh|bash|exec|env): [^\n]{1,80}: (?:not found|permission denied|no such file)",
        r"\benoent\b: no such file|filenotfounderror",
        r"cannot load such file|spawn \S+ enoent",
        r"worker failed to boot|worker timeout|worker \(pid",
        r"crashloopbackoff",
        r"modulenotfounderror|importerror|no module named",
        r"(?:syntax|name|type|key|attribute|value|indentation|runtime|assertion|reference|permission)error:",
        r"cannot find module|err_module_not_found|err_require_esm|error: cannot find package",
        r"unhandled (?:exception|rejection|promise)|uncaught exception|uncaughtexception",
        r"panic: |segmentation fault|segfault|sigsegv|sigabrt|core dumped|goroutine \d+",
        r"exception in thread|java\.lang\.|classnotfound\w*|noclassdeffound\w*|unable to access jarfile|no main manifest",
        r"missing (?:required )?\S+ (?:config|env|environment|variable|setting)s?",
        r"(?:environment|env)(?:ironment)? variables?[^\n]{0,60} (?:not set|is not set|required|missing|undefined|must be)",
        r"missing (?:required )?(?:env|environment|config)|provide the \w+ environment variable",
        r"http response was malformed",
        r"connection to the instance had an error",
        r"\beaddrinuse|address already in use",
        r"\beacces\b|operation not permitted|read-only file system",
        r"failed to start: |unable to start|terminated: ",
        r"liveness[^\n]{0,20} probes?",
        r"migrations?[^\n]{0,60} fail\w*|database (?:\S+ )?does not exist|password authentication failed",
    ),
)

CONTAINER_PORT = (
    rule(
        Cause.CONTAINER_PORT,
        NO,
        "The container did not answer on [port {port}|the port it was given] in time.",
        (
            "Make the program listen on 0.0.0.0 and the port in the PORT variable, or set `port` in slipway.yaml "
            "to the one it uses; read its last lines in " + RUN_LOG + "."
        ),
        "https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start",
        r"listen(?:ing)? on (?:the )?port",
        r"port (?:defined|specified|provided) (?:provided )?by the port",
        r"(?:startup|readiness)[^\n]{0,30} probes?[^\n]{0,60} (?:fail\w*|timed out|checks?)",
        r"probes?[^\n]{0,60} fail\w*|fail\w*[^\n]{0,60} probes?",
        r"health_?check_?container_?error",
        r"container failed to start",
        r"failed to listen|not listening|expected port|wrong port",
        r"port environment variable",
        r"health checks?",
        r"aggressive probe error|failed to make tcp connection to port",
    ),
)
