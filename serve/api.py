"""The wire format: OpenAI's legacy ``/v1/completions``, and its errors.

A field that this server does not implement is refused by name, never ignored; of those that
clients send by habit, the one value that changes nothing is accepted. Values are not coerced:
``"temperature": "0.2"`` is a mistake.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from treespan.platform.config import Config

MAX_CHARACTERS = 1_000_000
FinishReason = Literal["stop", "length"]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class StreamOptions(Config):
    """What a stream carries besides text."""

    include_usage: bool = False
    """Whether a last chunk with the token counts precedes ``[DONE]``."""


class CompletionRequest(Config):
    """The body of ``POST /v1/completions``."""

    model_config = ConfigDict(strict=True)

    model: str
    """The name that ``GET /v1/models`` lists."""
    prompt: str = Field(max_length=MAX_CHARACTERS)
    """The code before the cursor."""
    suffix: str | None = Field(default=None, max_length=MAX_CHARACTERS)
    """The code after the cursor. With it, even empty, the model fills in the middle; without, it
    continues the prompt."""
    path: str | None = Field(default=None, min_length=1, max_length=1024)
    """The file's path in its repository, for the header that the model saw in training. Not
    OpenAI's: their client sends it through ``extra_body``."""
    max_tokens: int = Field(default=64, ge=1)
    """The longest completion."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """0 is greedy and the default (OpenAI's is 1): an editor wants the likeliest code."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Samples from the likeliest tokens that hold this much probability."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Makes sampling repeatable; drawn anew without it."""
    stop: StopString | Annotated[list[StopString], Field(max_length=4)] | None = None
    """Strings that end the completion, which does not contain them."""
    stream: bool = False
    """Whether text is sent as it comes, as server-sent events."""
    stream_options: StreamOptions | None = None
    """Only with ``stream``."""
    user: str | None = None
    """Accepted for compatibility; it has no effect on the completion and is not stored."""
    n: Literal[1] = 1
    best_of: Literal[1] = 1
    echo: Literal[False] = False
    logprobs: None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] = 0
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] = 0
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """``stop`` as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class Choice(BaseModel):
    """A completion, or a piece of it."""

    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: FinishReason | None


class Usage(BaseModel):
    """Token counts; the mark that ends a completion is not counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionResponse(BaseModel):
    """A whole answer, or one event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class ModelCard(BaseModel):
    """One entry of ``GET /v1/models``."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "treespan"
    max_model_len: int


class ModelList(BaseModel):
    """The body of ``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class RequestError(Exception):
    """A request that is refused: an HTTP status and OpenAI's error object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """The JSON of the response."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }


def refusal(errors: Sequence[Mapping[str, Any]]) -> RequestError:
    """The refusal that names the first field of pydantic's ``errors`` on a request body."""
    first = errors[0]
    location = [part for part in first["loc"] if isinstance(part, str) and part != "body"]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return RequestError(f"the body is no JSON ({reason})", code="json_invalid")
    if not location:
        return RequestError("the body must be a JSON object with content-type application/json")
    field = location[0]
    if first["type"] == "extra_forbidden":
        name = ".".join(location)
        near = difflib.get_close_matches(field, CompletionRequest.model_fields, n=1)
        hint = f"; did you mean {near[0]!r}?" if near and near[0] != field else ""
        return RequestError(
            f"{name!r} is not supported{hint}", param=field, code="unsupported_field"
        )
    if first["type"] == "missing":
        return RequestError(f"{field!r} is required", param=field, code="missing_field")
    if first["type"] in ("literal_error", "none_required"):
        only = first.get("ctx", {}).get("expected", "null")
        message = f"{field!r} is supported only with the value {only}"
        return RequestError(message, param=field, code="unsupported_value")
    return RequestError(f"{field!r}: {first['msg']}", param=field, code="invalid_value")
