"""Routes that answer questions: a list by pages or as CSV, with the question's parameters."""

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter as Argument
from inspect import Signature
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from library.access.tokens import Principal
from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from library.warehouse.queries.filters import Flag, Parameter
from library.warehouse.queries.pages import Page, fetch_page
from library.warehouse.queries.question import BoundQuestion, Question
from service.api.context import ApiContext, Context
from service.api.pages import After, Limit, listed
from service.api.patient_data import audited
from service.api.security import Caller, needs

_PAGE = 100
_DESCENDING = Query(description="Whether the highest come first.")


@dataclass(frozen=True)
class QuestionRequest:
    """A question as it is asked by a request.

    Attributes:
        values: by parameter: what the request gives.
        sort, descending: the order, if the request chooses one.
        limit: the most rows of a page.
        after: the cursor of the page.
    """

    question: Question
    request: Request
    api: Context
    caller: Principal
    values: Mapping[str, Any]
    limit: int
    after: str | None
    sort: str | None = None
    descending: bool | None = None

    def with_values(self, **values: object) -> "QuestionRequest":
        """The same with other values for some parameters."""
        return replace(self, values={**self.values, **values})

    async def answer(self) -> Response:
        """The list. If its rows are about patients, the audit has the request before the first byte.

        Raises:
            TooManyDownloads, Unprocessable, CursorInvalid: see `service.api.pages.listed`.
        """
        is_audited = self.question.scope == Scope.READ_PATIENTS
        return await (self.audited(self.listing()) if is_audited else self.listing())

    async def listing(self) -> Response:
        """The list without the audit: a page of JSON, or all rows as CSV."""
        return await listed(self.request, self._pool, self._query(), limit=self.limit, after=self.after)

    async def audited(self, reading: Coroutine[Any, Any, Response]) -> Response:
        """The answer of a route that does more than to list. The audit has the request before the first byte."""
        return await audited(self.question.parameters, self.api, self.caller, self.request, reading)

    async def page(self) -> Page:
        """The page of JSON, for routes that change its items."""
        return await fetch_page(self._pool, self._query(), limit=self.limit, after=self.after)

    async def has_rows(self) -> bool:
        """Whether the answer has rows. A page after a cursor has some before it."""
        return self.after is not None or (await replace(self, limit=1).page()).items != b"[]"

    @property
    def _pool(self) -> Pool:
        return self.api.reader if self.question.for_the_reader else self.api.pool

    def _query(self) -> BoundQuestion:
        return self.question.ask(sort=self.sort, descending=self.descending, **self.values)


def question_request(
    question: Question, *, without: Collection[str] = (), page: int = _PAGE, sorting: bool = True
) -> Callable[..., Any]:
    """A dependency of a route: makes the `QuestionRequest`.

    Args:
        question: the question.
        without: parameters that the route does not have.
        page: the rows of a page, unless the request says it.
        sorting: whether the caller chooses the order, if the question can be sorted.
    """
    names = {f"p_{each.name}": each.name for each in _of_callers(question, without)}
    order = question.sort if sorting else None

    async def asked(
        *,
        request: Request,
        api: ApiContext,
        caller: Caller,
        limit: int,
        after: str | None,
        sort: str | None = None,
        descending: bool | None = None,
        **arguments: object,
    ) -> QuestionRequest:
        values = {names[argument]: value for argument, value in arguments.items()}
        return QuestionRequest(question, request, api, caller, values, limit, after, sort, descending)

    arguments = [_argument("request", Request), _argument("api", ApiContext), _argument("caller", Caller)]
    arguments += [_argument(argument, *_annotation(question.by_name[name])) for argument, name in names.items()]
    if order is not None:
        first = next(iter(order.choices))
        arguments.append(_argument("sort", Annotated[order.choices, Query(description=order.about)], first))
        arguments.append(_argument("descending", Annotated[bool, _DESCENDING], False))
    arguments += [_argument("limit", Limit, page), _argument("after", After, None)]
    cast(Any, asked).__signature__ = Signature(arguments)  # FastAPI reads the parameters from it
    return asked


def list_route(
    router: APIRouter,
    path: str,
    question: Question,
    *,
    name: str = "",
    without: Collection[str] = (),
    page: int = _PAGE,
) -> None:
    """Add the route of a question.

    Args:
        router: gets the route.
        path: the route's path.
        question: the question.
        name: the route's name in the OpenAPI document; by default the last part of the question's name.
        without: parameters of the question that the route does not have.
        page: the rows of a page, unless the request says it.
    """

    async def answer(
        asked: Annotated[QuestionRequest, Depends(question_request(question, without=without, page=page))],
    ) -> Response:
        return await asked.answer()

    router.add_api_route(
        path,
        answer,
        name=name or question.name.rpartition(".")[2],
        description=question.about,
        methods=["GET"],
        **needs(question.scope, items=question.item_model),
    )


def _of_callers(question: Question, without: Collection[str]) -> list[Parameter]:
    return [each for each in question.parameters if not each.internal and each.name not in without]


def _argument(name: str, annotation: object, default: object = Argument.empty) -> Argument:
    return Argument(name, Argument.KEYWORD_ONLY, default=default, annotation=annotation)


def in_query(parameter: Parameter) -> Any:  # noqa: ANN401 - as `Query` itself
    """The parameter as FastAPI shows it, without its type."""
    return Query(alias=parameter.name, description=parameter.about, examples=_examples(parameter))


def in_path(parameter: Parameter) -> Any:  # noqa: ANN401 - as `Path` itself
    """The parameter in the path of a route, without its type."""
    return Path(description=parameter.about, examples=_examples(parameter))


def _examples(parameter: Parameter) -> list[Any] | None:
    return None if parameter.example is None else [parameter.example]


def _annotation(parameter: Parameter) -> tuple[Any, object]:
    if isinstance(parameter, Flag):
        return Annotated[bool, in_query(parameter)], False
    return Annotated[parameter.type | None, in_query(parameter)], None
