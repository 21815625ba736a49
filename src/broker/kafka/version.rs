//! Which release of Apache Kafka a broker is.

/// The release that brought a `metadata.version`, the feature that every release of Kafka with
/// `KRaft` raises.
pub(super) fn release(level: u16) -> String {
    let release = match level {
        1 => "3.0",
        2 => "3.1",
        3 => "3.2",
        4..=7 => "3.3",
        8 => "3.4",
        9..=11 => "3.5",
        12..=14 => "3.6",
        15..=19 => "3.7",
        20 => "3.8",
        21 => "3.9",
        22..=25 => "4.0",
        26..=27 => "4.1",
        level => return format!("metadata version {level}"),
    };
    release.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_tells_the_release_and_a_new_one_itself() {
        assert_eq!(
            (release(27).as_str(), release(1000).as_str()),
            ("4.1", "metadata version 1000")
        );
    }
}
