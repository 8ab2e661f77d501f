//! What a file names of the crate: every `crate::...` path, and every `super::` that climbs out of
//! its room.

use super::tokens::Token;
use super::tokens::What;

/// A path below the crate's root, and the line it stands on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
}

/// Every path in a file that lies `depth` modules below the root (`src/store/mod.rs`: 1).
pub(super) fn named(tokens: &[Token], depth: usize) -> Vec<Named> {
    let mut found = Vec::new();
    let mut braces = 0_usize;
    let mut modules: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.is_mark('{') {
            braces += 1;
            let names = at >= 2 && tokens[at - 2].is("mod") && tokens[at - 1].word().is_some();
            if names {
                modules.push(braces);
            }
        } else if token.is_mark('}') {
            modules.retain(|&opened| opened < braces);
            braces = braces.saturating_sub(1);
        }
        let begins = at == 0 || tokens[at - 1].what != What::Joint;
        let root = if begins && token.is("crate") {
            Some(at)
        } else if begins && token.is("super") {
            climb(tokens, at, depth + modules.len())
        } else {
            None
        };
        match root {
            Some(root) if is_joint(tokens, root + 1) => {
                at = tree(tokens, root + 2, &mut Vec::new(), &mut found).max(root + 2);
            }
            _ => at += 1,
        }
    }
    found
}

/// Where the last `super` of a chain stands that reaches the root.
fn climb(tokens: &[Token], from: usize, depth: usize) -> Option<usize> {
    let mut at = from;
    let mut steps = 1;
    while is_joint(tokens, at + 1) && tokens.get(at + 2).is_some_and(|next| next.is("super")) {
        at += 2;
        steps += 1;
    }
    (steps >= depth).then_some(at)
}

/// Reads a path or a braced tree of paths. Returns where it ends.
fn tree(tokens: &[Token], from: usize, prefix: &mut Vec<String>, out: &mut Vec<Named>) -> usize {
    let Some(token) = tokens.get(from) else {
        return from;
    };
    if token.is_mark('{') {
        let mut at = from + 1;
        while tokens.get(at).is_some_and(|token| !token.is_mark('}')) {
            if !tokens[at].is_mark(',') {
                at = tree(tokens, at, prefix, out);
            }
            // over `as name`, to the next of the list
            while tokens
                .get(at)
                .is_some_and(|it| !it.is_mark(',') && !it.is_mark('}'))
            {
                at += 1;
            }
            at += usize::from(tokens.get(at).is_some_and(|it| it.is_mark(',')));
        }
        return at + 1;
    }
    let Some(word) = token.word() else {
        if token.is_mark('*') {
            prefix.push("*".to_owned());
            let (line, path) = (token.line, prefix.clone());
            out.push(Named { line, path });
            prefix.pop();
        }
        return from;
    };
    prefix.push(word.to_owned());
    let goes_on = is_joint(tokens, from + 1)
        && tokens
            .get(from + 2)
            .is_some_and(|next| next.word().is_some() || next.is_mark('{') || next.is_mark('*'));
    let end = if goes_on {
        tree(tokens, from + 2, prefix, out)
    } else {
        let (line, path) = (token.line, prefix.clone());
        out.push(Named { line, path });
        from + 1
    };
    prefix.pop();
    end
}

fn is_joint(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|it| it.what == What::Joint)
}

#[cfg(test)]
mod tests {
    use super::super::tokens::read;

    fn paths(source: &str, depth: usize) -> Vec<String> {
        let named = super::named(&read(source), depth);
        named.iter().map(|it| it.path.join("::")).collect()
    }

    #[test]
    fn trees_and_expressions_are_read() {
        let source = "use crate::{a, b::{self, c as d, e::*}};\npub(crate) fn f() -> crate::g::H<crate::i::J> { crate::k::l::<u8>() }";
        assert_eq!(
            paths(source, 1),
            ["a", "b::self", "b::c", "b::e::*", "g::H", "i::J", "k::l"]
        );
    }

    #[test]
    fn supers_that_reach_the_root_are_read() {
        assert_eq!(paths("use super::store::Store;", 1), ["store::Store"]);
        assert_eq!(paths("use super::wire::Ask;", 2), [""; 0]);
        assert_eq!(paths("use super::super::store;", 2), ["store"]);
        assert_eq!(paths("mod tests { use super::*; }", 1), [""; 0]);
        assert_eq!(
            paths("mod tests { use super::super::store; }", 1),
            ["store"]
        );
        assert_eq!(
            paths("mod tests { fn f() {} } use super::store;", 1),
            ["store"]
        );
    }
}
