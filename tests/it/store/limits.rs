//! What SQL decides and what the pure functions say is the same.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use tidegate::limits::{Booking, Limit, room};

use super::a_store;

/// Cases tried; each is one statement in a database shared by all.
const CASES: u32 = 150;

#[derive(Clone, Debug)]
struct Case {
    limit: Limit,
    debits: Vec<Booking>,
    now_ms: i64,
}

fn cases() -> impl Strategy<Value = Case> {
    let limit = (1_u64..400, prop::option::of(1_u64..120), 0_u64..2_000).prop_map(
        |(size, burst, guard_ms)| Limit {
            size,
            burst,
            guard_ms,
        },
    );
    let debits = prop::collection::vec((1_i64..4_000, 1_i64..40), 0..30).prop_map(|steps| {
        steps
            .into_iter()
            .scan(0, |at, (step, amount)| {
                *at += step;
                Some(Booking { at_ms: *at, amount })
            })
            .collect::<Vec<_>>()
    });
    (limit, debits, 0_i64..100_000).prop_map(|(limit, debits, later)| {
        let now_ms = debits.last().map_or(0, |debit| debit.at_ms) + later;
        Case {
            limit,
            debits,
            now_ms,
        }
    })
}

#[tokio::test]
async fn sql_and_the_pure_functions_see_the_same_room() {
    let (db, _store) = a_store(&[("a", Some(1))]).await;
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        ..Config::default()
    });
    for _ in 0..CASES {
        let case = cases().new_tree(&mut runner).expect("a case").current();
        let (mut total, mut full_at, mut at, mut totals, mut fulls) =
            (0, f64::MIN, vec![], vec![], vec![]);
        for debit in &case.debits {
            total += debit.amount;
            full_at = f64::max(full_at, debit.at_ms as f64)
                + debit.amount as f64 * 60_000.0 / case.limit.size as f64;
            at.push(debit.at_ms);
            totals.push(total);
            fulls.push(full_at);
        }
        let mut transaction = db.pool().begin().await.expect("a transaction");
        sqlx::query("update tidegate.limits set size = $1, burst = $2, guard_ms = $3, counting = case when $2::bigint is null then 'sliding' else 'bucket' end where dimension = 'requests'")
            .bind(case.limit.size as i64)
            .bind(case.limit.burst.map(|burst| burst as i64))
            .bind(i32::try_from(case.limit.guard_ms).expect("a small guard"))
            .execute(&mut *transaction)
            .await
            .expect("the limit is set");
        sqlx::query(
            "insert into tidegate.limit_book (limit_id, at, total, full_at)
             select (select limit_id from tidegate.limits where dimension = 'requests'), timestamptz '2026-01-01' + make_interval(secs => at / 1000.0), total,
                    timestamptz '2026-01-01' + make_interval(secs => full_at / 1000.0)
               from unnest($1::bigint[], $2::bigint[], $3::float8[]) b (at, total, full_at)",
        )
        .bind(&at)
        .bind(&totals)
        .bind(&fulls)
        .execute(&mut *transaction)
        .await
        .expect("the book is written");
        let sql: i64 = sqlx::query_scalar(
            "select o_room from tidegate.limit_room_v2(array[(select limit_id from tidegate.limits where dimension = 'requests')],
                    timestamptz '2026-01-01' + make_interval(secs => $1 / 1000.0), timestamptz '2026-01-01' + make_interval(secs => $1 / 1000.0))",
        )
        .bind(case.now_ms as f64)
        .fetch_one(&mut *transaction)
        .await
        .expect("a room");
        transaction.rollback().await.expect("undone");
        assert_eq!(
            sql,
            i64::try_from(room(case.limit, &case.debits, case.now_ms)).expect("a room"),
            "{case:?}"
        );
    }
}
