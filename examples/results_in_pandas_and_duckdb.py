"""A folder of results in pandas, and in SQL.

python examples/results_in_pandas_and_duckdb.py RESULTS
"""

import sys

import duckdb

import movie_tags


def main(folder: str) -> None:
    with movie_tags.Results(folder) as results:
        spans = results.to_pandas("spans")
    spans["seconds"] = spans["end_s"] - spans["start_s"]
    print(spans.groupby("tag")["seconds"].sum().sort_values(ascending=False).to_string())

    print(
        duckdb.sql(f"""
            SELECT tag.tag, count(*) AS films, round(avg(tag.confidence), 2) AS sure
            FROM (SELECT unnest(short_list) AS tag FROM read_json('{folder}/tags.jsonl'))
            GROUP BY ALL ORDER BY films DESC, tag.tag""")
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
