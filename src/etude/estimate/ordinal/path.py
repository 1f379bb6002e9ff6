"""Penalised cumulative-logit models along a path of penalties: a proximal Newton method.

The weights of the boundaries are ``B = psi T'`` for a design T: which psi are shared by which boundaries.
PRESTO, proportional odds and ordinalNet are one problem with different designs (`differences`, `parallel`,
`separate`, `semi_parallel`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from etude.estimate.ordinal.features import Features
from etude.estimate.ordinal.lasso import minimise, violation
from etude.estimate.ordinal.likelihood import Array, Rows


def differences(boundaries: int) -> Array:
    """T of PRESTO: psi_1 is the first boundary's weights, psi_k what the k-th changes of the one before."""
    return np.tril(np.ones((boundaries, boundaries)))


def parallel(boundaries: int) -> Array:
    """T of proportional odds: all boundaries have the same weights."""
    return np.ones((boundaries, 1))


def separate(boundaries: int) -> Array:
    """T of ordinalNet's non-parallel form: every boundary has its own weights."""
    return np.eye(boundaries)


def semi_parallel(boundaries: int) -> Array:
    """T of ordinalNet's semi-parallel form: shared weights, and deviations of every boundary."""
    return np.hstack([parallel(boundaries), separate(boundaries)])


@dataclass(frozen=True)
class Fit:
    """A solution on the standardised scale.

    Parameters
    ----------
    lam : strength of the penalty.
    intercepts : ``[K-1]``.
    psi : ``[p, m]``.
    objective : mean negative log-likelihood and penalty.
    iterations : of Newton's method.
    violation : largest distance of 0 from the subgradients.
    """

    lam: float
    intercepts: Array
    psi: Array
    objective: float
    iterations: int
    violation: float


@dataclass(frozen=True)
class Problem:
    """Mean negative log-likelihood of levels given features, and a penalty on psi.

    Parameters
    ----------
    features : standardised.
    y : levels from 0, ``[n]``; every level occurs.
    design : T, ``[K-1, m]``.
    penalised : factor of the penalty for each column of psi, ``[m]``; 0 for none.
    l1_ratio : share of the absolute value in the elastic net; the rest goes to half the square.
    """

    features: Features
    y: NDArray[np.intp]
    design: Array
    penalised: Array
    l1_ratio: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Of psi: features and columns of the design."""
        return len(self.features.mean), self.design.shape[1]

    def null(self, tol: float = 1e-9, max_iter: int = 100) -> Fit:
        """The fit without anything that is penalised: intercepts, at least."""
        boundaries = len(self.design)
        below = np.cumsum(np.bincount(self.y, minlength=boundaries + 1))[:-1] / len(self.y)
        start = Fit(np.inf, np.log(below / (1 - below)), np.zeros(self.shape), np.inf, 0, np.inf)
        return start if self.penalised.all() else self.solve(np.inf, start, tol=tol, max_iter=max_iter)

    def gradient(self, fit: Fit) -> Array:
        """Of the mean loss by psi, ``[p, m]``."""
        rows = Rows.at(self.features.times(self._coefficients(fit.intercepts, fit.psi)), self.y)
        return self.features.transposed_times(rows.gradient())[1:] @ self.design

    def largest(self, null: Fit) -> float:
        """The least penalty at which all that is penalised is zero; for a ridge, as of 1 % lasso."""
        gradient = np.abs(self.gradient(null))[:, self.penalised > 0] / self.penalised[self.penalised > 0]
        return float(gradient.max(initial=0.0)) / max(self.l1_ratio, 0.01)

    def path(self, lams: Sequence[float], *, tol: float = 1e-7, max_iter: int = 100) -> list[Fit]:
        """A fit for each penalty, descending, each begun at the one before."""
        found = [self.null(tol, max_iter)]
        for lam in lams:
            found.append(self.solve(lam, found[-1], tol=tol, max_iter=max_iter))
        return found[1:]

    def solve(self, lam: float, start: Fit, *, tol: float = 1e-7, max_iter: int = 100) -> Fit:
        """Newton steps on a working set of coordinates until no coordinate violates its condition.

        Warns with scikit-learn's ``ConvergenceWarning`` if ``max_iter`` steps do not suffice.
        """
        state = _State(self, lam, start)
        step = 0
        while state.violation > tol and step < max_iter and state.advance(tol):
            step += 1
        if state.violation > max(100 * tol, 1e-5):
            warnings.warn(
                f"stopped after {step} steps at lam={lam:.3g} with a violation of {state.violation:.1e}; "
                "raise max_iter or lam",
                ConvergenceWarning,
                stacklevel=2,
            )
        return Fit(lam, state.intercepts, state.psi, state.objective, step, state.violation)

    def _coefficients(self, intercepts: Array, psi: Array) -> Array:
        """``[1 + p, K-1]``, as `Features.times` takes them."""
        return np.vstack([intercepts, psi @ self.design.T])

    def _hessian(self, rows: Rows, columns: NDArray[np.intp]) -> Array:
        """Of the mean loss by the intercepts and by the psi of these features, ``[K-1 + c m] * 2``."""
        own, beside = rows.curvature()
        boundaries, size = len(self.design), 1 + len(columns)
        blocks = np.zeros((boundaries, boundaries, size, size))
        for k in range(boundaries):
            blocks[k, k] = self.features.gram(own[:, k], columns)
        for k in range(boundaries - 1):
            blocks[k, k + 1] = blocks[k + 1, k] = self.features.gram(beside[:, k], columns)
        t, m = self.design, self.design.shape[1]
        mixed = np.einsum("lo,klj->kjo", t, blocks[:, :, 0, 1:]).reshape(boundaries, -1)
        half = np.einsum("km,klij->mlij", t, blocks[:, :, 1:, 1:])
        inner = np.einsum("lo,mlij->imjo", t, half).reshape(len(columns) * m, len(columns) * m)
        return np.block([[blocks[:, :, 0, 0], mixed], [mixed.T, inner]])


class _State:
    """Where the Newton method stands for one penalty."""

    def __init__(self, problem: Problem, lam: float, start: Fit) -> None:
        self.problem = problem
        self.intercepts, self.psi = start.intercepts, start.psi
        strength = np.where(problem.penalised > 0, lam, 0.0) * np.where(
            problem.penalised > 0, problem.penalised, 1
        )
        locked = np.isinf(strength)
        share = problem.l1_ratio
        self.l1 = np.broadcast_to(
            np.where(locked, np.inf, np.where(locked, 0.0, strength) * share), problem.shape
        )
        self.l2 = np.broadcast_to(np.where(locked, 0.0, strength) * (1 - share), problem.shape)
        self.eta = problem.features.times(problem._coefficients(self.intercepts, self.psi))
        self._look()

    def _look(self) -> None:
        """Likelihood, gradient and violations at the present point."""
        self.rows = Rows.at(self.eta, self.problem.y)
        self.objective = self.rows.loss() + self._penalty(self.psi)
        gradient = self.problem.features.transposed_times(self.rows.gradient())
        self.by_intercepts = gradient[0]
        self.by_psi = gradient[1:] @ self.problem.design + self.l2 * self.psi
        self.violations = violation(self.by_psi, self.l1, self.psi)
        self.violation = float(max(np.abs(self.by_intercepts).max(), self.violations.max(initial=0.0)))

    def _penalty(self, psi: Array) -> float:
        on = psi != 0
        return float((self.l1[on] * np.abs(psi[on])).sum() + 0.5 * (self.l2[on] * psi[on] ** 2).sum())

    def advance(self, tol: float) -> bool:
        """One step: the penalised quadratic model's minimum, then a line search. False if none gains."""
        m = self.problem.shape[1]
        working = (self.psi != 0) | (self.violations > 0)
        columns = np.flatnonzero(working.any(axis=1))
        k = len(self.intercepts)
        chosen = np.concatenate([np.ones(k, dtype=bool), working[columns].ravel()])
        hessian = self.problem._hessian(self.rows, columns)[np.ix_(chosen, chosen)]
        x = np.concatenate([self.intercepts, self.psi[columns].ravel()])[chosen]
        slope = np.concatenate([self.by_intercepts, (self.by_psi - self.l2 * self.psi)[columns].ravel()])[
            chosen
        ]
        l1, l2 = (
            np.concatenate([np.zeros(k), weights[columns].ravel()])[chosen] for weights in (self.l1, self.l2)
        )
        new = minimise(hessian, hessian @ x - slope, l1, l2, x, tol=min(tol, 0.01 * self.violation))
        full = np.zeros(k + len(columns) * m)
        full[chosen] = new
        psi = np.zeros_like(self.psi)
        psi[columns] = full[k:].reshape(-1, m)
        return self._search(full[:k] - self.intercepts, psi - self.psi, psi)

    def _search(self, by_intercepts: Array, by_psi: Array, target: Array) -> bool:
        """Halve the step until the objective falls as much as the model promises, in good part."""
        movement = self.problem.features.times(self.problem._coefficients(by_intercepts, by_psi))
        smooth = float(self.by_intercepts @ by_intercepts + (self.by_psi * by_psi).sum())
        on = (self.psi != 0) | (target != 0)
        kinks = float((self.l1[on] * (np.abs(target[on]) - np.abs(self.psi[on]))).sum())
        promised, share = min(smooth + kinks, 0.0), 1.0
        for _ in range(40):
            psi = target if share == 1 else self.psi + share * by_psi
            value = Rows.at(self.eta + share * movement, self.problem.y).loss() + self._penalty(psi)
            if value <= self.objective + 1e-4 * share * promised + 1e-15 * abs(self.objective):
                self.intercepts = self.intercepts + share * by_intercepts
                self.psi, self.eta = psi, self.eta + share * movement
                self._look()
                return True
            share /= 2
        return False
