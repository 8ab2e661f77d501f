//! What SQL says of limits and what the pure functions say is the same.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use tidegate::limits::{
    Book, Booking, Cooldown, Dimension, Limit, Opening, Window, opens_at, reserve, room,
};

use super::a_store;

/// Cases tried; each is a transaction that is rolled back.
const CASES: u32 = 150;

/// Where the moments of the cases begin: midnight in California, on which day clocks go forward.
const BEGIN: &str = "timestamptz '2026-03-08 08:00Z'";
const DAY_US: i64 = 23 * 3_600 * 1_000_000;

#[derive(Clone, Debug)]
struct Case {
    limit: Limit,
    book: Book,
    now: i64,
    need: u64,
    interactive: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let limit = (
        prop_oneof![
            Just((Dimension::Requests, Window::Minute)),
            Just((Dimension::TotalTokens, Window::Minute)),
            Just((
                Dimension::Requests,
                Window::Day {
                    began_at: 0,
                    ends_at: DAY_US
                }
            )),
            Just((Dimension::Concurrency, Window::None)),
        ],
        0_u64..400,
        prop::option::of(1_u64..120),
        0_u32..2_000,
        prop::option::of(0_i64..1_200),
    );
    // before midnight too; what others used comes in between
    let entries = prop::collection::vec((1_i64..4_000, 1_i64..40, 0_u8..10), 0..30);
    let whom = (
        -40_i64..20,
        0_i64..100_000,
        1_u64..60,
        any::<bool>(),
        0_u64..9,
    );
    (limit, entries, whom).prop_map(|(limit, entries, whom)| {
        let ((dimension, window), size, burst, guard_ms, interactive) = limit;
        let (first_s, later_ms, need, may_use_reserve, in_flight) = whom;
        let mut at = first_s * 1_000_000;
        let mut book = Book {
            in_flight,
            ..Book::default()
        };
        for (step_ms, amount, sort) in entries {
            at += step_ms * 1_000;
            match sort {
                0 => book.corrections.push(Booking {
                    at,
                    amount: -amount,
                }),
                1 => book.corrections.push(Booking { at, amount }),
                2 => book.foreign.push(Booking { at, amount }),
                _ => book.debits.push(Booking { at, amount }),
            }
        }
        let now = at.max(0) + later_ms * 1_000;
        let is_minute = window == Window::Minute;
        Case {
            limit: Limit {
                dimension,
                window,
                size,
                burst: burst.map(|it| it.min(size.max(1))).filter(|_| is_minute),
                guard_ms,
                interactive_at: interactive.map(|ago_s| now - ago_s * 1_000_000),
            },
            book,
            now,
            need,
            interactive: may_use_reserve,
        }
    })
}

#[tokio::test]
async fn sql_and_the_pure_functions_see_the_same_room_and_the_same_opening() {
    let (db, _store) = a_store(&[("a", Some(1))]).await;
    db.unaudited();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "create function at_us(us bigint) returns timestamptz language sql immutable as $$ select {BEGIN} + us * interval '1 us' $$"
    )))
    .execute(db.pool())
    .await
    .expect("moments");
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        ..Config::default()
    });
    for _ in 0..CASES {
        let case = cases().new_tree(&mut runner).expect("a case").current();
        let mut transaction = db.pool().begin().await.expect("a transaction");
        write(&mut transaction, &case).await;
        let (sql_room, sql_opens): (i64, Option<i64>) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select (select o_room from tidegate.limit_room_v2('{{999}}', at_us($1), at_us($1), $2)),
                    (extract(epoch from tidegate.limit_opens_at_v2(999, $3, at_us($1)) - {BEGIN}) * 1000000)::bigint"
        )))
        .bind(case.now)
        .bind(case.interactive)
        .bind(i64::try_from(case.need).expect("a small need"))
        .fetch_one(&mut *transaction)
        .await
        .expect("a room");
        transaction.rollback().await.expect("undone");
        let ours = room(&case.limit, &case.book, case.now, case.interactive);
        assert_eq!(
            sql_room,
            i64::try_from(ours).expect("a room"),
            "the room of {case:?}"
        );
        let opens = match opens_at(&case.limit, &case.book, case.need, case.now) {
            Opening::At(at) => Some(at),
            Opening::Soon | Opening::Never => None,
        };
        assert_eq!(sql_opens, opens, "the opening of {case:?}");
    }
}

async fn write(into: &mut sqlx::PgConnection, case: &Case) {
    let Case { limit, book, .. } = case;
    let (dimension, window) = match (limit.dimension, limit.window) {
        (Dimension::Concurrency, _) => ("concurrency", "none"),
        (Dimension::TotalTokens, _) => ("total_tokens", "minute"),
        (_, Window::Minute) => ("requests", "minute"),
        _ => ("requests", "day"),
    };
    sqlx::query(
        "insert into tidegate.limits (limit_id, quota_scope, name, dimension, window_kind, size, counting, burst, guard_ms, interactive_at)
         overriding system value
         values (999, 'sim', 'of a test', $1, $2, $3, case when $4::bigint is null then 'sliding' else 'bucket' end, $4, $5, at_us($6))",
    )
    .bind(dimension)
    .bind(window)
    .bind(i64::try_from(limit.size).expect("a small size"))
    .bind(limit.burst.map(|burst| i64::try_from(burst).expect("a small burst")))
    .bind(i32::try_from(limit.guard_ms).expect("a small guard"))
    .bind(limit.interactive_at)
    .execute(&mut *into)
    .await
    .expect("the limit is written");
    // as claims and `learn_notices_v1` write it: the bucket is full again that much later
    let mut entries: Vec<(i64, i64, i64)> = Vec::new();
    entries.extend(book.debits.iter().map(|it| (it.at, it.amount, it.amount)));
    entries.extend(book.foreign.iter().map(|it| (it.at, 0, it.amount)));
    entries.sort_unstable();
    for (at, debited, poured) in entries {
        sqlx::query(
            "insert into tidegate.limit_book (limit_id, at, total, full_at)
             select 999, at_us($1), coalesce(newest.total, 0) + $2,
                    greatest(coalesce(newest.full_at, at_us($1)), at_us($1))
                      + case when l.size > 0 and l.window_kind = 'minute' then make_interval(secs => $3 * 60.0 / l.size) else interval '0' end
               from tidegate.limits l
               left join lateral (select b.total, b.full_at from tidegate.limit_book b where b.limit_id = 999 order by b.at desc limit 1) newest on true
              where l.limit_id = 999",
        )
        .bind(at)
        .bind(debited)
        .bind(poured)
        .execute(&mut *into)
        .await
        .expect("the book is written");
    }
    let both = book.corrections.iter().chain(&book.foreign);
    let (at, delta): (Vec<i64>, Vec<i64>) = both.map(|it| (it.at, it.amount)).unzip();
    sqlx::query(
        "insert into tidegate.limit_settlements (limit_id, at, delta)
         select 999, at_us(z.at), z.delta from unnest($1::bigint[], $2::bigint[]) z (at, delta)",
    )
    .bind(&at)
    .bind(&delta)
    .execute(&mut *into)
    .await
    .expect("settlements are written");
    sqlx::query(
        "with bound as (
           insert into tidegate.model_limits (model_id, limit_id) select m.model_id, 999 from tidegate.models m returning model_id)
         insert into tidegate.running (id, lane, priority, est_input, attempts, epoch, tries, rescues, spent_ms, nonce, process_id, model_id,
                                       rung, call_id, granted_at, deadline_at)
         select gen_random_uuid(), 1, 0, 1, 1, 1, '{}', 0, 0, 1, gen_random_uuid(), b.model_id, 1, gen_random_uuid(), now(), now()
           from bound b cross join generate_series(1, $1)",
    )
    .bind(i32::try_from(book.in_flight).expect("a few"))
    .execute(&mut *into)
    .await
    .expect("calls are under way");
}

#[tokio::test]
async fn sql_and_the_pure_functions_open_the_same_gate_and_keep_back_the_same() {
    let (db, _store) = a_store(&[]).await;
    let gates: Vec<(i64, Option<i64>, Option<i32>)> = sqlx::query_as(
        "select u.ms, p.ms, tidegate.gate_v1(now() + u.ms * interval '1 ms', now() + p.ms * interval '1 ms', now())
           from (values (-20000::bigint), (-3), (0), (1), (4000)) u (ms)
           cross join (values (null::bigint), (0), (-1), (-499), (-500), (-501), (-2600), (-4999), (-5000), (-9000)) p (ms)",
    )
    .fetch_all(db.pool())
    .await
    .expect("gates");
    for (until_ms, proven_ms, sql) in gates {
        let cooldown = Cooldown {
            until: until_ms * 1_000,
            proven_at: proven_ms.map(|ms| ms * 1_000),
            granted_since: 0,
        };
        let ours = cooldown.gate(0).map(|it| i32::try_from(it).expect("a few"));
        assert_eq!(sql, ours, "{cooldown:?}");
    }
    let kept: Vec<(i64, i64)> =
        sqlx::query_as("select n, tidegate.reserve_v1(n) from generate_series(0::bigint, 3000) n")
            .fetch_all(db.pool())
            .await
            .expect("reserves");
    for (size, sql) in kept {
        let size = u64::try_from(size).expect("a size");
        assert_eq!(sql, i64::try_from(reserve(size)).expect("a part"));
    }
}
