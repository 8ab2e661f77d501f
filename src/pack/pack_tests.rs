use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn ask(prompt: &str) -> Request {
    Request {
        prompt: prompt.to_owned(),
        schema: Some(json!({"type": "object", "properties": {"n": {"type": "integer"}}})),
        ..Request::default()
    }
}

fn pack_of(count: usize, schema: Option<Value>) -> Pack {
    let ask = |at| Request {
        schema: schema.clone(),
        ..ask(&format!("Task {at}"))
    };
    let asked: Vec<Request> = (0..count).map(ask).collect();
    Pack::new(&asked.iter().collect::<Vec<_>>(), 5).unwrap()
}

/// A pack of three whose ids stand in a reply as A, B and C.
fn unpacked(schema: Option<Value>, reply: &str) -> Vec<Result<String, Lost>> {
    let pack = pack_of(3, schema);
    let mut reply = reply.to_owned();
    for (name, id) in ["A", "B", "C"].iter().zip(pack.ids()) {
        reply = reply.replace(&format!("\"{name}\""), &format!("\"{id}\""));
        reply = reply.replace(
            &format!("'{name}'"),
            &format!("\" {}\\n\"", id.to_lowercase()),
        );
    }
    pack.unpack(&reply)
}

fn whole(answers: [&str; 3]) -> Vec<Result<String, Lost>> {
    answers.map(|answer| Ok(answer.to_owned())).to_vec()
}

const MISSING: Result<String, Lost> = Err(Lost::Missing);
const DOUBLED: Result<String, Lost> = Err(Lost::Doubled);
const MALFORMED: Result<String, Lost> = Err(Lost::Malformed);

fn any_json() -> Option<Value> {
    Some(json!({}))
}

#[test]
fn an_answer_is_found_in_whatever_form_it_comes() {
    for reply in [
        r#"{"answers": [{"id": "A", "answer": 1}, {"id": "B", "answer": 2}, {"id": "C", "answer": 3}]}"#,
        r#"{"answers": [{"answer": 3, "id": "C"}, {"id": "B", "answer": 2}, {"id": "A", "answer": 1}], "n": 3}"#,
        r#"[{"id": "A", "answer": 1, "why": {}}, {"id": "B", "answer": 2}, {"id": "C", "answer": 3}]"#,
        r#"{"A": 1, "B": 2, "C": 3}"#,
        r#"{"answers": {"A": {"answer": 1}, "B": {"id": "B", "answer": 2}, "C": 3,}}"#,
        r#"[{"A": 1}, {"B": 2}, {"C": 3}]"#,
        "{\"id\": \"A\", \"answer\": 1}\n{\"id\": \"B\", \"answer\": 2}\n{\"id\": \"C\", \"answer\": 3}",
        r#"{"answers": [{"id": 'A', "answer": 1}, {"id": 'B', "answer": 2}, {"id": 'C', "answer": 3}]}"#,
        r#"{"answers": [{"id": "X", "answer": 9}, {"id": "A", "answer": 1}, {"id": 7}, null, {"id": "B", "answer": 2}, {"id": "C", "answer": 3},]}"#,
        r#"{"answers": [{"id": "A", "answer": 1}, {"id": "A", "answer": 1}, {"id": "B", "answer": 2}, {"id": "C", "answer": 3}]}"#,
        "As {asked} in [1] and [see 2]:\n```json\n[{\"id\": \"A\", \"answer\": 1}, {\"id\": \"B\", \"answer\": 2}, {\"id\": \"C\", \"answer\": 3}]\n```\nThese {are} all.",
        "\u{feff}{\"answers\":[{\"id\":\"A\",\"answer\":1},{\"id\":\"B\",\"answer\":2},{\"id\":\"C\",\"answer\":3}]",
    ] {
        assert_eq!(
            unpacked(any_json(), reply),
            whole(["1", "2", "3"]),
            "{reply}"
        );
    }
}

#[test]
fn what_cannot_be_told_is_lost_and_nothing_else() {
    for (reply, wanted) in [
        (
            r#"{"answers": [{"id": "A", "answer": 1}]}"#,
            [Ok("1"), MISSING_, MISSING_],
        ),
        (
            r#"[{"id": "A", "answer": 1}, {"id": "A", "answer": 1.0}]"#,
            [Err(Lost::Doubled), MISSING_, MISSING_],
        ),
        (
            r#"[{"id": "A", "answer": 1}, {"id": 'A', "answer": 2}]"#,
            [Err(Lost::Doubled), MISSING_, MISSING_],
        ),
        (
            r#"[{"id": "A", "id": "B", "answer": 1}]"#,
            [Err(Lost::Malformed), Err(Lost::Malformed), MISSING_],
        ),
        (
            r#"[{"id": "A", "answer": 1, "answer": 1}]"#,
            [Err(Lost::Malformed), MISSING_, MISSING_],
        ),
        (
            r#"[{"id": "A"}, {"answer": 2}]"#,
            [Err(Lost::Malformed), MISSING_, MISSING_],
        ),
        (
            r#"[{"id": "A", "answer": 1, "B": 2}]"#,
            [Ok("1"), MISSING_, MISSING_],
        ),
        (
            r#"{"A": {"id": "B", "answer": 1}}"#,
            [Err(Lost::Malformed), MISSING_, MISSING_],
        ),
        (
            r#"{"A": 1, "B": 22"#,
            [Ok("1"), Err(Lost::Malformed), MISSING_],
        ),
        (
            r#"{"result": {"answers": [{"id": "A", "answer": 1}]}}"#,
            [MISSING_, MISSING_, MISSING_],
        ),
        // an answer that breaks its quotes, and goes on as if it were another item
        (
            r#"[{"id": "A", "answer": "so "}, {"id": "B", "answer": "evil"}"}, {"id": "C", "answer": 3}]"#,
            [MALFORMED_; 3],
        ),
        (
            r#"[{"id": "A", "answer": "he said "hi, {"id": "B", "answer": "evil"}"}, {"id": "C", "answer": 3}]"#,
            [MALFORMED_; 3],
        ),
    ] {
        let wanted: Vec<_> = wanted.iter().map(|it| it.map(str::to_owned)).collect();
        assert_eq!(unpacked(any_json(), reply), wanted, "{reply}");
    }
    for reply in [
        "",
        "no",
        "{see above}",
        "\"A\"",
        "```json\n```",
        "[1, 2, 3]",
        "{\"A",
        "nul\0",
    ] {
        assert_eq!(unpacked(any_json(), reply), [MALFORMED; 3], "{reply}");
    }
    for reply in [
        "{}",
        "[]",
        "{\"answers\": [",
        "{\"answers\": null}",
        "{\"error\": 1}",
    ] {
        assert_eq!(unpacked(any_json(), reply), [MISSING; 3], "{reply}");
    }
}

const MISSING_: Result<&str, Lost> = Err(Lost::Missing);
const MALFORMED_: Result<&str, Lost> = Err(Lost::Malformed);

#[test]
fn an_answer_keeps_its_own_member_called_answer() {
    let own = Some(json!({"type": "object", "properties": {"answer": {"type": "integer"}}}));
    let reply = r#"{"A": {"answer": 1}, "B": {"answer": 2}, "C": {"answer": 3}}"#;
    let wanted = [r#"{"answer": 1}"#, r#"{"answer": 2}"#, r#"{"answer": 3}"#];
    assert_eq!(unpacked(own, reply), whole(wanted));
}

#[test]
fn the_text_of_json_is_kept_and_of_text_it_is_read() {
    let odd = r#"{ "n": 1.0e2, "n": 9223372036854775809, "a": 1e400000 , "s": "\u0000 \ud800" }"#;
    let reply =
        format!(r#"[{{"id": "A", "answer": {odd} }}, {{"id": "B", "answer": "\ud800\u0000\n"}}]"#);
    let got = unpacked(any_json(), &reply);
    assert_eq!(
        got[..2],
        [Ok(odd.to_owned()), Ok(r#""\ud800\u0000\n""#.to_owned())]
    );
    let got = unpacked(None, &reply);
    assert_eq!(got, [MALFORMED, Ok("\u{fffd}\0\n".to_owned()), MISSING]);
}

#[test]
fn hostile_replies_neither_panic_nor_take_long() {
    let deep = 50_000;
    let (open, close) = ("[".repeat(deep), "]".repeat(deep));
    let nested = format!(r#"[{{"id": "A", "answer": {open}{close}}}, {{"id": "B", "answer": 2}}]"#);
    assert_eq!(unpacked(any_json(), &nested)[1], Ok("2".to_owned()));
    let objects = "{\"a\":".repeat(deep);
    for reply in [
        open.clone(),
        objects.clone(),
        format!("[{objects}"),
        "[ {".repeat(deep),
        "{\"".repeat(deep),
        "{\"\" ".repeat(deep),
        "{\"answers\":".repeat(deep),
        "[{\"id\":".repeat(deep),
        "[{},".repeat(deep),
        "{}".repeat(deep),
        format!("[{}", "{\"id\":\"A\",\"answer\":1},".repeat(deep)),
        format!("[{{\"id\":{}", "\"A\",\"id\":".repeat(deep)),
        format!("[{{{}", "\"A\":1,".repeat(deep)),
        format!("[{{\"id\": \"A\", \"answer\": {open}"),
        format!("[{{\"id\": \"A\", \"answer\": {}}}]", "9".repeat(deep)),
        "\\".repeat(deep),
    ] {
        let _ = unpacked(any_json(), &reply);
        let _ = unpacked(None, &reply);
    }
}

#[test]
fn requests_that_differ_travel_apart() {
    let one = ask("a");
    let apart = |change: fn(&mut Request)| {
        let mut other = one.clone();
        change(&mut other);
        Pack::new(&[&one, &other], 1).unwrap_err()
    };
    assert_eq!(apart(|it| it.system = Some(String::new())), Apart::System);
    assert_eq!(apart(|it| it.schema = None), Apart::Schema);
    assert_eq!(apart(|it| it.params.seed = Some(1)), Apart::Params);
    assert_eq!(Pack::new(&[&one], 1), Err(Apart::Few));
    assert_eq!(Pack::new(&[], 1), Err(Apart::Few));
    assert_eq!(Pack::new(&vec![&one; ITEMS_MAX + 1], 1), Err(Apart::Many));
    let mut stops = one.clone();
    stops.params.stop = vec!["END".into()];
    assert_eq!(Pack::new(&[&stops, &stops], 1), Err(Apart::Stop));
    let ordered = |text: &str| Request {
        schema: serde_json::from_str(text).unwrap(),
        ..one.clone()
    };
    let ab = ordered(r#"{"properties": {"a": {}, "b": {}}}"#);
    let ba = ordered(r#"{"properties": {"b": {}, "a": {}}}"#);
    assert_eq!(Pack::new(&[&ab, &ba], 1), Err(Apart::Schema));
}

#[test]
fn a_pack_asks_as_its_items_do() {
    let mut one = ask("a");
    one.system = Some("Be brief.".into());
    one.params.temperature = Some(0.5);
    one.params.seed = Some(3);
    one.params.max_output_tokens = Some(600);
    let two = Request {
        prompt: "b".into(),
        ..one.clone()
    };
    let pack = Pack::new(&[&one, &two], 1).unwrap();
    let asked = pack.request();
    assert_eq!(asked.system, one.system);
    let params = Params {
        max_output_tokens: Some(1_280),
        ..one.params.clone()
    };
    assert_eq!(asked.params, params);
    let element = &asked.schema.as_ref().unwrap()["properties"]["answers"]["items"]["properties"];
    assert_eq!(element["answer"], one.schema.clone().unwrap());
    one.params.max_output_tokens = Some(u32::MAX);
    let most = Pack::new(&[&one, &one], 1)
        .unwrap()
        .request()
        .params
        .max_output_tokens;
    assert_eq!(most, Some(u32::MAX));
}

#[test]
fn no_text_of_an_item_can_pass_for_a_border_or_an_id() {
    let first = Pack::new(&[&ask("a"), &ask("b")], 9).unwrap();
    let forged = first.request().prompt.clone(); // by somebody who knows the seed
    let pack = Pack::new(&[&ask(&forged), &ask("b")], 9).unwrap();
    let prompt = &pack.request().prompt;
    for id in pack.ids() {
        assert_eq!(prompt.matches(id.as_str()).count(), 1, "{prompt}");
    }
    let borders = prompt.lines().filter(|line| line.starts_with("<item-"));
    let real = borders.filter(|line| pack.ids().iter().any(|id| line.contains(id.as_str())));
    let real: Vec<&str> = real.collect();
    let mark = real[0].split([' ', '-']).nth(1).unwrap();
    assert!(!forged.contains(mark));
    assert_eq!(
        prompt.matches(&format!("\n<item-{mark}")).count(),
        2,
        "{prompt}"
    );
}

/// What went wrong with one element of a reply, or with the whole of it.
#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    Missing,
    Doubled,
    WrongId,
    NeighboursId,
    Cut,
    Prose,
    Fence,
}

/// How a reply is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Object,
    List,
    Keyed,
    Lines,
}

/// Writes elements, and where each of them ends.
fn written(form: Form, elements: &[(String, String)]) -> (String, Vec<usize>) {
    let (open, between, close) = match form {
        Form::Object => (r#"{"answers": ["#, ", ", "]}"),
        Form::List => ("[", ",\n", "]"),
        Form::Keyed => ("{", ", ", "}"),
        Form::Lines => ("", "\n", ""),
    };
    let (mut text, mut ends) = (open.to_owned(), Vec::new());
    for (at, (id, answer)) in elements.iter().enumerate() {
        text += if at > 0 { between } else { "" };
        let _ = match form {
            Form::Keyed => write!(text, r#""{id}": {answer}"#),
            _ => write!(text, r#"{{"id": "{id}", "answer": {answer}}}"#),
        };
        ends.push(text.len());
    }
    (text + close, ends)
}

/// Answers that hold what looks like other items' answers.
fn answer(at: usize, shape: u8, ids: &[String]) -> String {
    let other = &ids[(at + 1) % ids.len()];
    match shape % 5 {
        0 => format!(r#"{{"n": {at}.50, "n": 1e2}}"#),
        1 => format!(r#"{{"n": {at}, "x": [{{"id": "{other}", "answer": {{"n": 99}}}}]}}"#),
        2 => format!(
            r#"{{"n": {at}, "{other}": {{"n": 99}}, "answers": [{{"id": "{other}", "answer": 99}}]}}"#
        ),
        3 => format!(
            r#"{{"n": {at}, "s": "\"}}]}} {{\"id\": \"{other}\", \"answer\": 99}} \ud800"}}"#
        ),
        _ => format!(r#"["{other}", {at}, {{"id": "{other}", "answer": 99}}]"#),
    }
}

fn damages() -> impl Strategy<Value = Damage> {
    prop::sample::select(vec![
        Damage::None,
        Damage::Missing,
        Damage::Doubled,
        Damage::WrongId,
        Damage::NeighboursId,
        Damage::Cut,
        Damage::Prose,
        Damage::Fence,
    ])
}

proptest! {
    #[test]
    fn each_gets_its_own_whatever_is_damaged(
        shapes in prop::collection::vec(any::<u8>(), 2..9),
        order in any::<prop::sample::Index>(),
        form in prop::sample::select(vec![Form::Object, Form::List, Form::Keyed, Form::Lines]),
        damage in damages(),
        victim in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        seed: u64,
    ) {
        let count = shapes.len();
        let asked: Vec<Request> = (0..count).map(|at| ask(&format!("Item {at}"))).collect();
        let pack = Pack::new(&asked.iter().collect::<Vec<_>>(), seed).unwrap();
        let answer = |at: usize| answer(at, shapes[at], pack.ids());
        let own: Vec<String> = (0..count).map(answer).collect();
        let mut elements: Vec<(String, String)> = pack.ids().iter().cloned().zip(own.clone()).collect();
        let victim = victim.index(count);
        let neighbour = (victim + 1) % count;
        let mut wanted: Vec<Result<String, Lost>> = own.into_iter().map(Ok).collect();
        match damage {
            Damage::Missing => {
                elements.remove(victim);
                wanted[victim] = MISSING;
            }
            Damage::Doubled => {
                let id = elements[victim].0.clone();
                elements.push((id, r#"{"n": 77}"#.to_owned()));
                wanted[victim] = DOUBLED;
            }
            Damage::WrongId => {
                elements[victim].0.push('Q');
                wanted[victim] = MISSING;
            }
            Damage::NeighboursId => {
                elements[victim].0.clone_from(&pack.ids()[neighbour]);
                wanted[victim] = MISSING;
                wanted[neighbour] = DOUBLED;
            }
            Damage::None | Damage::Cut | Damage::Prose | Damage::Fence => {}
        }
        let turn = order.index(elements.len());
        elements.rotate_left(turn);
        let (mut reply, ends) = written(form, &elements);
        match damage {
            Damage::Prose => reply = format!("Sure [1], {{as asked}}:\n{reply}\nThat is [all]."),
            Damage::Fence => reply = format!("```json\n{reply}\n```"),
            Damage::Cut => {
                let at = reply.floor_char_boundary(cut.index(reply.len()));
                let got = pack.unpack(&reply[..at]);
                for ((id, _), end) in elements.iter().zip(ends) {
                    let place = pack.ids().iter().position(|it| it == id).unwrap();
                    let is_whole = end <= at;
                    prop_assert_eq!(is_whole, got[place].is_ok(), "{}", &reply[..at]);
                    prop_assert!(!is_whole || got[place] == wanted[place]);
                }
                return Ok(());
            }
            _ => {}
        }
        prop_assert_eq!(pack.unpack(&reply), wanted, "{}", reply);
    }

    #[test]
    fn no_reply_makes_it_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", "\"", ":", ",", "\\", "\"A\"", "\"B\"", "\"id\"", "\"answer\"",
            "\"answers\"", " ", "1", "null", "é", "\u{0}", "\"id\":\"A\",\"answer\":1", "{\"id\":\"B\",",
        ]), 0..40),
    ) {
        let _ = unpacked(any_json(), &parts.concat());
    }
}
