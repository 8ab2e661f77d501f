//! Forms of several parts, as files are uploaded in. Pure.

use bytes::Bytes;

/// One part.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    pub(super) bytes: Bytes,
}

/// Takes a body apart; `None`: it is not such a form, or broken off.
pub(super) fn fields(content_type: &str, body: &Bytes) -> Option<Vec<Field>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    let first = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut at = find(body, first.as_bytes())? + first.len();
    let mut fields = Vec::new();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        let start = at + rest.starts_with(b"\r\n").then_some(2)?;
        let head_end = start + find(&body[start..], b"\r\n\r\n")?;
        let content = head_end + 4;
        let end = content + find(&body[content..], between.as_bytes())?;
        let head = std::str::from_utf8(&body[start..head_end]).ok()?;
        fields.push(field(head, body.slice(content..end))?);
        at = end + between.len();
    }
}

fn field(head: &str, bytes: Bytes) -> Option<Field> {
    let mut lines = head.split("\r\n");
    let disposition = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })?;
    let (_, parameters) = disposition.split_once(';')?;
    Some(Field {
        name: parameter(parameters, "name")?,
        filename: parameter(parameters, "filename"),
        bytes,
    })
}

/// A parameter of a header, quoted or not.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([';', ' ']);
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(';').unwrap_or((after, "")),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
    None
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let first = *part.first()?;
    let mut from = 0;
    while let Some(step) = text[from..].iter().position(|byte| *byte == first) {
        from += step;
        if text[from..].starts_with(part) {
            return Some(from);
        }
        from += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Vec<Field>> {
        let body = Bytes::from(body.replace('\n', "\r\n"));
        fields("multipart/form-data; boundary=XyZ", &body)
    }

    #[test]
    fn parts_are_taken_apart() {
        let fields = read(
            "--XyZ\nContent-Disposition: form-data; name=\"purpose\"\n\nbatch\n--XyZ\n\
             content-disposition: form-data; name=\"file\"; filename=\"a;b.jsonl\"\n\
             Content-Type: application/jsonl\n\n{}\n--X\n--XyZ--\n",
        )
        .unwrap();
        let seen: Vec<_> = fields
            .iter()
            .map(|it| (it.name.as_str(), it.filename.as_deref(), &it.bytes[..]))
            .collect();
        assert_eq!(
            seen,
            [
                ("purpose", None, &b"batch"[..]),
                ("file", Some("a;b.jsonl"), &b"{}\r\n--X"[..]),
            ]
        );
    }

    #[test]
    fn what_is_broken_off_is_no_form() {
        for body in [
            "",
            "--XyZ\n",
            "--XyZ\nContent-Disposition: form-data; name=\"a\"\n\nhalf",
            "--XyZ\nX: y\n\nz\n--XyZ--",
        ] {
            assert!(read(body).is_none(), "{body:?}");
        }
        assert!(fields("application/json", &Bytes::new()).is_none());
    }
}
