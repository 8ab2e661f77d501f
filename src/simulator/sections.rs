//! The part of a prompt that is the material, as opposed to the instructions. Pure.

/// A piece of material: one article, page or item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    /// The `id` (or `key`, `item`, `n`, `index`) attribute of its tag: set when items are packed.
    pub(super) id: Option<&'a str>,
    /// The text inside, without the one line break next to each tag.
    pub(super) text: &'a str,
}

/// The tags that hold material.
const TAGS: [&str; 9] = [
    "article", "text", "item", "document", "page", "material", "content", "body", "chunk",
];

/// The material in a prompt: what stands inside `<article>…</article>` and the like, else inside
/// the first fence that is not JSON, else all of it. Never empty.
pub(super) fn sections(prompt: &str) -> Vec<Section<'_>> {
    let mut found = tagged(prompt);
    // "the text between <article> and </article>" in the instructions is no article.
    if found.iter().any(|section| is_material(section)) {
        found.retain(is_material);
    }
    if found.is_empty() {
        found.extend(fenced(prompt));
    }
    if found.is_empty() {
        found.push(Section {
            id: None,
            text: prompt,
        });
    }
    found
}

fn is_material(section: &Section<'_>) -> bool {
    section.id.is_some() || section.text.split_whitespace().nth(2).is_some()
}

fn tagged(prompt: &str) -> Vec<Section<'_>> {
    let mut found = Vec::new();
    let mut rest = prompt;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some((section, after)) = section_at(rest) {
            found.push(section);
            rest = after;
        }
    }
    found
}

/// Reads `article id="7">…</article>` and gives back what follows.
fn section_at(rest: &str) -> Option<(Section<'_>, &str)> {
    let name_end = rest.find(|letter: char| !letter.is_ascii_alphanumeric())?;
    let name = &rest[..name_end];
    TAGS.contains(&name).then_some(())?;
    let head_end = rest.find('>')?;
    let attributes = &rest[name_end..head_end];
    if attributes.contains(['<', '\n']) {
        return None;
    }
    let body = &rest[head_end + 1..];
    let end_tag = format!("</{name}>");
    let end = body.find(&end_tag)?;
    let section = Section {
        id: id_of(attributes),
        text: trim_one_break(&body[..end]),
    };
    Some((section, &body[end + end_tag.len()..]))
}

fn id_of(attributes: &str) -> Option<&str> {
    ["id", "key", "item", "n", "index"].iter().find_map(|name| {
        attributes.match_indices(name).find_map(|(at, _)| {
            attributes[..at]
                .ends_with(char::is_whitespace)
                .then_some(())?;
            let value = attributes[at + name.len()..].strip_prefix('=')?;
            match value.strip_prefix(['"', '\'']) {
                Some(quoted) => quoted.find(['"', '\'']).map(|end| &quoted[..end]),
                None => value.split(char::is_whitespace).next(),
            }
        })
    })
}

fn fenced(prompt: &str) -> Option<Section<'_>> {
    let mut parts = prompt.split("```");
    parts.next()?;
    while let (Some(inside), Some(_)) = (parts.next(), parts.next()) {
        let (language, text) = inside.split_once('\n')?;
        if !language.trim().eq_ignore_ascii_case("json") {
            let text = text.strip_suffix('\n').unwrap_or(text);
            return Some(Section { id: None, text });
        }
    }
    None
}

fn trim_one_break(text: &str) -> &str {
    let text = text
        .strip_prefix("\r\n")
        .or_else(|| text.strip_prefix('\n'))
        .unwrap_or(text);
    text.strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(prompt: &str) -> Vec<(Option<&str>, &str)> {
        sections(prompt)
            .iter()
            .map(|section| (section.id, section.text))
            .collect()
    }

    #[test]
    fn material_is_what_the_tags_hold() {
        assert_eq!(
            texts("Read this.\n<article>\nA b c.\n</article>\nGo."),
            [(None, "A b c.")]
        );
    }

    #[test]
    fn packed_items_keep_their_ids() {
        assert_eq!(
            texts("<item id=\"a-1\">x</item> <item n='2'>y</item><item key=k3>z</item>"),
            [(Some("a-1"), "x"), (Some("2"), "y"), (Some("k3"), "z")]
        );
    }

    #[test]
    fn tags_named_in_the_instructions_are_not_material() {
        assert_eq!(
            texts("Use the text between <text> and </text>.\n<text>one two three</text>"),
            [(None, "one two three")]
        );
    }

    #[test]
    fn without_tags_a_fence_and_without_a_fence_all() {
        assert_eq!(
            texts("Schema:\n```json\n{}\n```\nText:\n```\nhello you\n```"),
            [(None, "hello you")]
        );
        assert_eq!(texts("just a < b"), [(None, "just a < b")]);
        assert_eq!(
            texts("<article>never closed"),
            [(None, "<article>never closed")]
        );
    }
}
