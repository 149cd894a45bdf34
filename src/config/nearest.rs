//! What was probably meant.

/// The known key that was probably meant by `given`: at most two typing errors away, and at most a third of the key.
pub(super) fn nearest<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let given: String = given.chars().take(64).collect::<String>().to_ascii_lowercase().replace('-', "_");
    known
        .map(|key| (strsim::damerau_levenshtein(&given, key), key))
        .filter(|(typos, key)| *typos <= 2 && typos * 3 <= key.len())
        .min()
        .map(|(_, key)| key)
}
