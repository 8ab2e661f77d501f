//! Rows from files and queries.

use std::io::{self, BufReader, Read};

use proptest::prelude::*;
use tidegate::definition::{
    SourceSpec,
    rows::{self, ROW_BYTES_MAX, Row, RowError, row_from_json},
};

use super::{a_folder, check};

/// id `id`, category `kind`, signals `good` and `hot`.
fn a_source() -> SourceSpec {
    check(&a_folder()).expect("the folder holds").source
}

fn jsonl(text: &[u8]) -> Vec<Result<Row, RowError>> {
    rows::jsonl(text, &a_source()).collect()
}

fn csv(text: &[u8]) -> Vec<Result<Row, RowError>> {
    rows::csv(text, &a_source()).collect()
}

fn said(rows: &[Result<Row, RowError>]) -> Vec<String> {
    let word = |row: &Result<Row, RowError>| match row {
        Ok(row) => row.id.clone(),
        Err(error) => error.to_string(),
    };
    rows.iter().map(word).collect()
}

#[test]
fn a_body_is_kept_byte_for_byte() {
    let line = r#"{ "id":"1",  "n": 1.50E+2, "big": 12345678901234567890.0, "id": "2", "s": "\ud83d \u0000 \/", "z":{},"hot":0.5, "kind": "é" }"#;
    let rows = jsonl(format!("\n{line}\r\n\n").as_bytes());
    let row = rows[0].as_ref().unwrap();
    assert_eq!((rows.len(), row.body.get()), (1, line));
    assert_eq!((row.id.as_str(), row.category.as_deref()), ("2", Some("é")));
    assert_eq!(
        row.signals.iter().collect::<Vec<_>>(),
        [(&"hot".to_owned(), &0.5)]
    );
}

#[test]
fn ids_may_be_numbers_and_keep_their_text() {
    let text = "{\"id\":1.0}\n{\"id\":-7}\n{\"id\":123456789012345678901}\n{\"id\":\"a\\u0041\"}";
    assert_eq!(
        said(&jsonl(text.as_bytes())),
        ["1.0", "-7", "123456789012345678901", "aA"]
    );
}

#[test]
fn a_bad_line_is_told_and_the_next_one_follows() {
    let deep = format!("{{\"id\":1,\"a\":{}{}}}", "[".repeat(128), "]".repeat(128));
    let long_id = format!("{{\"id\":\"{}\"}}", "x".repeat(1_001));
    for (line, message) in [
        (
            "{\"id\":1",
            "line 2: is not JSON: EOF while parsing an object at line 1 column 7",
        ),
        ("[1]", "line 2: is no JSON object"),
        ("{}", "line 2: field \"id\" (the id) is missing"),
        ("{\"id\":null}", "line 2: field \"id\" (the id) is null"),
        ("{\"id\":\"\"}", "line 2: field \"id\" (the id) is empty"),
        (
            "{\"id\":true}",
            "line 2: field \"id\" (the id) is neither a string nor a number",
        ),
        (
            "{\"id\":\"\\ud800\"}",
            "line 2: field \"id\" holds half of a surrogate pair, which is no text",
        ),
        (
            "{\"id\":\"a\\u0000\"}",
            "line 2: field \"id\" holds a NUL (U+0000)",
        ),
        (
            &long_id,
            "line 2: field \"id\" (the id) is longer than 1000 bytes",
        ),
        (
            "{\"id\":1,\"hot\":\"warm\"}",
            "line 2: field \"hot\" is no number",
        ),
        (
            "{\"id\":1,\"hot\":\"NaN\"}",
            "line 2: field \"hot\" is no finite number",
        ),
        (
            "{\"id\":1,\"hot\":1e999}",
            "line 2: field \"hot\" is no finite number",
        ),
        (
            "{\"id\":1,\"hot\":[]}",
            "line 2: field \"hot\" is no number",
        ),
        (
            "{\"id\":1,\"kind\":{}}",
            "line 2: field \"kind\" is no string or number",
        ),
        (
            "\u{feff}{\"id\":1}",
            "line 2: is not JSON: expected value at line 1 column 1",
        ),
        (&deep, "line 2: is nested deeper than 128"),
    ] {
        let rows = jsonl(format!("{{\"id\":0}}\n{line}\n{{\"id\":9}}\n").as_bytes());
        assert_eq!(said(&rows), ["0", message, "9"]);
    }
    let rows = jsonl(b"{\"id\":\"\xff\"}\n{\"id\":9}");
    assert_eq!(said(&rows), ["line 1: is not valid UTF-8 at byte 8", "9"]);
}

#[test]
fn a_line_may_be_four_mebibytes_and_no_more() {
    let line = |size: usize| format!("{{\"id\":1,\"a\":\"{}\"}}\n", "x".repeat(size - 15));
    assert_eq!(said(&jsonl(line(ROW_BYTES_MAX).as_bytes())), ["1"]);
    for more in [1, 2, 3, ROW_BYTES_MAX] {
        let text = line(ROW_BYTES_MAX + more) + "{\"id\":9}";
        assert_eq!(
            said(&jsonl(text.as_bytes())),
            ["line 1: is longer than 4194304 bytes", "9"]
        );
    }
}

#[test]
fn a_failing_input_ends_the_rows() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let input = || BufReader::new(b"id\n1\n".chain(Broken));
    let rows: Vec<_> =
        rows::jsonl(BufReader::new(b"{\"id\":1}\n".chain(Broken)), &a_source()).collect();
    assert_eq!(said(&rows), ["1", "line 2: could not be read: gone"]);
    let rows: Vec<_> = rows::csv(input(), &a_source()).collect();
    assert_eq!(said(&rows), ["1", "line 3: could not be read: gone"]);
}

#[test]
fn csv_values_are_strings_and_signals_numbers() {
    let rows = csv(b"id,kind,hot,text\r\n7,a,0.5,\"say \"\"hi\"\"\nthere\"\r\n8,,,\n");
    let row = rows[0].as_ref().unwrap();
    assert_eq!(
        row.body.get(),
        r#"{"id":"7","kind":"a","hot":"0.5","text":"say \"hi\"\nthere"}"#
    );
    assert_eq!((row.id.as_str(), row.signals["hot"]), ("7", 0.5));
    assert!(rows[1].as_ref().unwrap().signals.is_empty());
}

#[test]
fn a_bad_csv_is_told() {
    for (text, wanted) in [
        (&b""[..], &[][..]),
        (
            b"a,b\n1,2",
            &["line 1: the header lacks the id \"id\" (columns: a, b)"],
        ),
        (b"id,a,a\n1,2,3", &["line 1: the header names \"a\" twice"]),
        (
            b"id,a\n1\n2,x\n",
            &["line 2: has 1 values, and the header names 2", "2"],
        ),
        (b"id,a\n1,\xff\n2,x\n", &["line 2: is not valid UTF-8", "2"]),
        (
            b"id,hot\n1,x\n2,1\n,1\n",
            &[
                "line 2: field \"hot\" is no number",
                "2",
                "line 4: field \"id\" (the id) is empty",
            ],
        ),
    ] {
        assert_eq!(said(&csv(text)), wanted);
    }
}

#[test]
fn f60_a_byte_order_mark_at_the_beginning_is_skipped() {
    assert_eq!(said(&csv(b"\xef\xbb\xbfid,a\n1,x\n")), ["1"]);
    let rows = jsonl(b"\xef\xbb\xbf{\"id\":1}\n{\"id\":2}\n");
    assert_eq!(said(&rows), ["1", "2"]);
    assert_eq!(rows[0].as_ref().unwrap().body.get(), "{\"id\":1}");
    assert!(jsonl(b"\xef\xbb\xbf").is_empty() && csv(b"\xef\xbb\xbf").is_empty());
}

#[test]
fn a_quote_left_open_does_not_fill_the_memory() {
    let opened = b"id,a\n1,\"".chain(io::repeat(b'x'));
    let rows: Vec<_> = rows::csv(BufReader::new(opened), &a_source()).collect();
    assert_eq!(
        said(&rows),
        ["line 2: could not be read: a record is longer than 4194304 bytes"]
    );
}

#[test]
fn a_row_of_a_query_is_read_the_same() {
    let row = row_from_json(" {\"id\":5,\"hot\":null,\"kind\":3}\n", &a_source()).unwrap();
    assert_eq!(
        (row.id.as_str(), row.category.as_deref(), row.signals.len()),
        ("5", Some("3"), 0)
    );
    let error = row_from_json("{\"id\":5,\"good\":\"-Infinity\"}", &a_source()).unwrap_err();
    assert_eq!(error.to_string(), "field \"good\" is no finite number");
}

proptest! {
    #[test]
    fn no_input_breaks_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = jsonl(&bytes);
        let _ = csv(&bytes);
        let mut headed = b"id,hot\n".to_vec();
        headed.extend(&bytes);
        let _ = csv(&headed);
    }

    #[test]
    fn any_text_goes_through_csv_and_json(text in "\\PC{0,40}", id in "[a-z]{1,5}") {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(["id", "text"]).unwrap();
        writer.write_record([id.as_str(), text.as_str()]).unwrap();
        let rows = csv(&writer.into_inner().unwrap());
        let row = rows[0].as_ref().unwrap();
        let body: serde_json::Value = serde_json::from_str(row.body.get()).unwrap();
        prop_assert_eq!(&body["text"], &text);
        prop_assert_eq!(&row.id, &id);
    }
}
