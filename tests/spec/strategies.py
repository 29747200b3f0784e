"""Drawn cards, cascades and policies: all that the types allow."""

from __future__ import annotations

from hypothesis import strategies as st

from natix_cascade.spec.card import Cost, InputSpec, ModelCard, OutputSpec, WeightsSpec
from natix_cascade.spec.cascade import CascadeSpec, LevelSpec, MemberSpec, Question
from natix_cascade.spec.policy import LevelPolicy, Policy
from natix_cascade.spec.rules import (
    Agreement,
    Binning,
    Identity,
    Isotonic,
    Platt,
    Temperature,
    Threshold,
    VoteSpec,
    Window,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(str.strip)
name = text.filter(bool)
number = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(0, exclude_min=True, allow_infinity=False)
at_least_zero = st.floats(0, allow_infinity=False)
probability = st.floats(0, 1)
inside = st.floats(0, 1, exclude_min=True, exclude_max=True)
triple = st.tuples(number, number, number)
some = st.lists(probability, min_size=1, max_size=4).map(tuple)

calibrators = st.one_of(
    st.just(Identity()),
    st.builds(Temperature, temperature=positive),
    st.builds(Platt, slope=positive, intercept=number),
    st.builds(Isotonic, scores=st.lists(number, min_size=1, max_size=4).map(tuple), probabilities=some),
    st.builds(Binning, edges=st.lists(number, max_size=4).map(tuple), probabilities=some),
)
exit_rules = st.one_of(
    st.builds(Threshold, yes=st.none() | probability, no=st.none() | probability),
    st.builds(Agreement, members=st.integers(1, 9), ratio=st.floats(0.5, 1, exclude_min=True)),
    st.builds(Window, half_width=at_least_zero),
)
inputs = st.builds(
    InputSpec,
    name=text,
    height=st.integers(8),
    width=st.integers(8),
    fit=st.sampled_from(["stretch", "center_crop", "pad"]),
    layout=st.sampled_from(["NHWC", "NCHW"]),
    dtype=st.sampled_from(["uint8", "float32"]),
    mean=triple,
    std=triple,
)
outputs = st.builds(
    OutputSpec,
    name=text,
    kind=st.sampled_from(["logit", "probability", "logits", "probabilities"]),
    heat_map=st.none() | text,
)
weights = st.builds(
    WeightsSpec,
    file=text,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    bytes=st.integers(1),
    precision=st.sampled_from(["fp32", "fp16", "int8"]),
)
cards = st.builds(
    ModelCard,
    name=name,
    title=text,
    version=text,
    engine=text,
    family=text,
    licence=text,
    parameters=st.integers(0),
    classes=st.lists(text, max_size=3).map(tuple),
    positive=text,
    input=inputs,
    output=outputs,
    weights=weights,
    cost=st.builds(Cost, gmacs=at_least_zero, usd=at_least_zero),
    trained=st.booleans(),
    data=text,
    metrics=st.dictionaries(text, number, max_size=3),
    notes=text,
)
members = st.builds(
    MemberSpec,
    model=name,
    weight=at_least_zero,
    band=st.none() | st.tuples(probability, probability),
    required=st.booleans(),
)
levels = st.builds(
    LevelSpec,
    name=name,
    members=st.lists(members, max_size=3).map(tuple),
    mode=st.sampled_from(["all", "one", "until-agreement"]),
    vote=st.builds(
        VoteSpec,
        method=st.sampled_from(["log_odds", "mean", "majority"]),
        over=st.sampled_from(["level", "all"]),
    ),
    exit=st.none() | exit_rules,
    budget_ms=st.none() | positive,
    on_failure=st.sampled_from(["drop", "escalate", "abort"]),
)
cascades = st.builds(
    CascadeSpec,
    name=name,
    version=text,
    description=text,
    question=st.builds(Question, id=name, text=text, positive=text, negative=text),
    levels=st.lists(levels, min_size=1, max_size=3).map(tuple),
    policy=st.none() | text,
    threshold=inside,
    deadline_ms=st.none() | positive,
)
policies = st.builds(
    Policy,
    name=name,
    version=text,
    cascade=text,
    threshold=inside,
    calibrators=st.dictionaries(text, calibrators, max_size=3),
    levels=st.dictionaries(
        text,
        st.builds(
            LevelPolicy,
            exit=st.none() | exit_rules,
            weights=st.dictionaries(text, at_least_zero, max_size=3),
            threshold=st.none() | inside,
        ),
        max_size=3,
    ),
    models=st.dictionaries(text, text, max_size=3),
    made_from=text,
    certificate=st.dictionaries(text, number | text, max_size=3),
)
