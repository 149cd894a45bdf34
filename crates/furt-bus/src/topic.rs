//! Which keys a binding leads.

/// Whether a routing key fits a binding: `*` is one word, `#` any number, also none.
pub(crate) fn fits(binding: &str, key: &str) -> bool {
    // Which ends of the binding are reached so far, one word of the key after the other: no pattern takes longer than the product.
    let binding: Vec<_> = binding.split('.').collect();
    let mut reached = vec![false; binding.len() + 1];
    reached[0] = true;
    pass_over_any(&binding, &mut reached);
    for word in key.split('.') {
        let mut next = vec![false; binding.len() + 1];
        for (at, part) in binding.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match *part {
                "#" => next[at] = true,
                "*" => next[at + 1] = true,
                part => next[at + 1] |= part == word,
            }
        }
        pass_over_any(&binding, &mut next);
        reached = next;
    }
    reached[binding.len()]
}

fn pass_over_any(binding: &[&str], reached: &mut [bool]) {
    for (at, part) in binding.iter().enumerate() {
        if reached[at] && *part == "#" {
            reached[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn keys_fit_bindings_as_the_broker_has_it() {
        for (binding, fitting, others) in [
            ("node.a", &["node.a"][..], &["node", "node.a.b", "node.b", ""][..]),
            ("node.crypt.#", &["node.crypt", "node.crypt.x", "node.crypt.a.b"], &["node", "node.cryptx", "crypt"]),
            ("node.*.result", &["node.a.result", "node..result"], &["node.result", "node.a.b.result"]),
            ("#", &["", "a", "a.b"], &[]),
            ("#.b.#.d", &["b.d", "a.b.c.d", "b.b.d.d"], &["b", "d", "d.b"]),
            ("*", &["a", ""], &["a.b"]),
            ("*.#", &["a", "a.b.c"], &[]),
            ("", &[""], &["a"]),
        ] {
            for (keys, expected) in [(fitting, true), (others, false)] {
                for key in keys {
                    assert_eq!(fits(binding, key), expected, "{binding} {key}");
                }
            }
        }
        assert!(!fits(&"#.".repeat(60), &"a.".repeat(60).replace('a', "b")) || fits("#", "b"));
    }
}
