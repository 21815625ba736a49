//! What was probably meant by a name that nothing has.

/// The candidate most like what was written: in whole, or in its last part.
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LEAST: f64 = 0.5;
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    let alike = |candidate: &str| {
        let whole = strsim::normalized_damerau_levenshtein(written, candidate);
        let part = strsim::normalized_damerau_levenshtein(&last(written), &last(candidate));
        // The last part counts more: a right name in a wrong section is a common slip.
        whole.max(0.4 * whole + 0.6 * part)
    };
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let score = alike(candidate);
        if score >= LEAST && best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
