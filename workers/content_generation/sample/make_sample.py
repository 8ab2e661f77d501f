"""Cuts elements.jsonl from the data of the Python package mendeleev.

    pip download --no-deps mendeleev==1.3.0 && unzip mendeleev-1.3.0-py3-none-any.whl
    python3 make_sample.py mendeleev/elements.db elements.jsonl

The rule is stated in README.md. The same input gives the same bytes.
"""

import json
import sqlite3
import sys

# Melting and boiling point are those of the element itself: of its allotropes the first that has any.
ROWS = """
select e.symbol, e.name, e.atomic_number as number, round(e.atomic_weight, 4) as atomic_mass,
       e.group_id as "group", e.period, e.block, s.name as series,
       (select round(t.melting_point, 3) from phasetransitions t
         where t.atomic_number = e.atomic_number and t.melting_point is not null order by t.id limit 1)
           as melting_point_k,
       (select round(t.boiling_point, 3) from phasetransitions t
         where t.atomic_number = e.atomic_number and t.boiling_point is not null order by t.id limit 1)
           as boiling_point_k,
       e.density as density_g_cm3, e.electronic_configuration, e.is_radioactive as radioactive,
       e.abundance_crust as crust_mg_per_kg, e.discovery_year, e.discoverers, e.name_origin
  from elements e left join series s on s.id = e.series_id
 order by e.atomic_number
"""


def main(database, target):
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    lines = []
    for row in connection.execute(ROWS):
        fact = dict(row) | {"radioactive": bool(row["radioactive"])}
        lines.append(json.dumps(fact, ensure_ascii=False))
    text = "".join(line + "\n" for line in lines).encode()
    with open(target, "wb") as file:
        file.write(text)
    print(f"{len(lines)} elements, {len(text)} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
