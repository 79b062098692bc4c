//! What `SHOW GRANTS` says of a table: the user's own privileges and those of the roles in use. The information schema lists
//! no role's to its members.

use std::collections::BTreeSet;

/// Those of `INSERT`, `UPDATE` and `DELETE` that any of these grants gives on a table, on all of it or on columns.
pub(super) fn writes<'g>(grants: impl IntoIterator<Item = &'g str>, schema: &str, table: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for grant in grants {
        let Some((privileges, rest)) = grant.strip_prefix("GRANT ").and_then(|grant| grant.split_once(" ON ")) else {
            continue;
        };
        let Some((object, _)) = rest.split_once(" TO ") else { continue };
        if covers(object, schema, table) {
            let given = ["INSERT", "UPDATE", "DELETE"].into_iter().filter(|one| gives(privileges, one));
            found.extend(given.map(str::to_owned));
        }
    }
    found.into_iter().collect()
}

/// `SELECT, INSERT (a, b)`: columns stand behind a privilege, in parentheses.
fn gives(privileges: &str, wanted: &str) -> bool {
    let mut depth = 0_usize;
    let outside = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *c != ')'
    };
    let names: String = privileges.chars().filter(outside).collect();
    names.split(',').map(str::trim).any(|name| name == wanted || name == "ALL PRIVILEGES")
}

/// `*.*`, `` `schema`.* `` or `` `schema`.`table` ``; the schema is a pattern where the grant is on all of it.
fn covers(object: &str, schema: &str, table: &str) -> bool {
    let object = object.strip_prefix("TABLE ").unwrap_or(object);
    let plain = |name: &str| name.trim_matches('`').replace("``", "`");
    match object.rsplit_once('.') {
        Some(("*", "*")) => true,
        Some((pattern, "*")) => is_like(plain(pattern).as_bytes(), schema.as_bytes()),
        Some((named, name)) => plain(named) == schema && plain(name) == table,
        None => false,
    }
}

/// SQL's LIKE: `%` any text, `_` any character, `\` takes the next one as it is.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], rest) => rest.is_empty(),
        ([b'%', pattern @ ..], _) => (0..=text.len()).any(|from| is_like(pattern, &text[from..])),
        ([b'\\', escaped, pattern @ ..], [first, text @ ..]) => escaped == first && is_like(pattern, text),
        ([one, pattern @ ..], [first, text @ ..]) => (*one == b'_' || one == first) && is_like(pattern, text),
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::writes;

    #[test]
    fn grants_are_read_as_the_server_prints_them() {
        for (grant, expected) in [
            ("GRANT USAGE ON *.* TO `u`@`h`", ""),
            ("GRANT ALL PRIVILEGES ON *.* TO `u`@`h` WITH GRANT OPTION", "DELETE INSERT UPDATE"),
            ("GRANT SELECT, INSERT ON `shop`.`orders` TO `writers`", "INSERT"),
            ("GRANT SELECT (`id`), UPDATE (`a`, `b`) ON `shop`.`orders` TO `u`@`h`", "UPDATE"),
            ("GRANT SELECT (`INSERT`, `DELETE`) ON `shop`.`orders` TO `u`@`h`", ""),
            ("GRANT DELETE HISTORY ON `shop`.* TO `u`@`h`", ""),
            ("GRANT DELETE ON `sh%`.* TO `u`@`h`", "DELETE"),
            ("GRANT DELETE ON `sho\\_`.* TO `u`@`h`", ""),
            ("GRANT DELETE ON `sho_`.* TO `u`@`h`", "DELETE"),
            ("GRANT DELETE ON `shop`.`other` TO `u`@`h`", ""),
            ("GRANT `writers` TO `u`@`h`", ""),
            ("GRANT EXECUTE ON PROCEDURE `shop`.`orders` TO `u`@`h`", ""),
        ] {
            assert_eq!(writes([grant], "shop", "orders").join(" "), expected, "{grant}");
        }
    }
}
