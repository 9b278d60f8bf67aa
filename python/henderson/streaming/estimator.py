"""A mixed model that is fitted batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from henderson import errors_streaming
from henderson.fitting import lmer
from henderson.model import LinearMixedModel

PARAMETERS = ("formula", "reml", "forgetting", "weights", "offset", "contrasts", "context")


class StreamingModel:
    """A linear mixed model that is fitted batch by batch, as scikit-learn's `partial_fit` does it.

    Parameters
    ----------
    formula
        In lme4's language.
    reml
        Restricted maximum likelihood; False for maximum likelihood.
    forgetting
        How much the rows so far still count when a batch comes, in (0, 1]: after k batches a row counts forgetting^k.
    weights, offset
        Names of columns that all batches have.
    contrasts, context
        As in `lmer`.

    Attributes
    ----------
    fit_
        The fit to all batches so far, a `LinearMixedModel`; None before the first.

    Notes
    -----
    The first batch settles the columns: the levels of categorical fixed effects, knots, the constants of ``scale()``.
    It must be large enough to fit the model. Levels of grouping factors may come later.

    Examples
    --------
    >>> import henderson as hd
    >>> sleep = hd.datasets.load_sleepstudy()
    >>> model = hd.StreamingModel("Reaction ~ Days + (Days | Subject)")
    >>> for batch in (sleep[:90], sleep[90:150], sleep[150:]):
    ...     _ = model.partial_fit(batch)
    >>> model.fit_.fixef.round(2).tolist()
    [251.41, 10.47]
    """

    def __init__(
        self,
        formula: str,
        *,
        reml: bool = True,
        forgetting: float = 1.0,
        weights: str | None = None,
        offset: str | None = None,
        contrasts: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        self.formula = formula
        self.reml = reml
        self.forgetting = forgetting
        self.weights = weights
        self.offset = offset
        self.contrasts = contrasts
        self.context = context
        self.fit_: LinearMixedModel | None = None

    def partial_fit(self, data: Any) -> StreamingModel:
        """Add the rows of a table.

        Parameters
        ----------
        data
            A table with the columns of the formula; missing values only in the first, where they are left out.

        Returns
        -------
        StreamingModel
            This estimator.
        """
        if self.fit_ is None:
            self.fit_ = lmer(
                self.formula,
                deepcopy(data) if isinstance(data, Mapping) else data,  # the next batch may come in the same arrays
                reml=self.reml,
                weights=self.weights,
                offset=self.offset,
                contrasts=self.contrasts,
                context=self.context,
            )
        else:
            self.fit_ = self.fit_.update(data, forgetting=self.forgetting)
        return self

    def predict(self, data: Any, **options: Any) -> Any:
        """Predict rows of a table, as ``fit_.predict`` does."""
        if self.fit_ is None:
            raise errors_streaming.not_fitted()
        return self.fit_.predict(data, **options)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - as scikit-learn calls it
        """The arguments of the constructor, as scikit-learn's `clone` asks for them."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def set_params(self, **params: Any) -> StreamingModel:
        """Change arguments of the constructor; the next batch follows them where it can, the fit so far stays."""
        for name, value in params.items():
            if name not in PARAMETERS:
                raise errors_streaming.parameter_unknown(name, PARAMETERS)
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        rows = "no rows yet" if self.fit_ is None else f"{self.fit_.nobs:g} rows"
        return f"<StreamingModel {self.formula!r}: {rows}>"
