"""A vision-language model as judge of verdicts, off the request's way.

`rubric` says what is judged, `wording` words it, `reading` reads the answer strictly, `asking` asks a server, `budget`
bounds pace and money, `journal` remembers, `agreement` compares with people, `falling` watches the scores, `observer`
puts them together. `rubric`, `wording`, `reading`, `agreement` and `falling` are pure.
"""
