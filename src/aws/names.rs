//! The forms of AWS's names: regions, partitions, accounts. Checks forms only; AWS knows what
//! exists.

/// Returns true if `text` has the form of a region: `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`.
/// New regions appear faster than a list of them is updated.
pub(crate) fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let area = parts.next().is_some_and(|part| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase()));
    let number =
        parts.next_back().is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let mut middle = parts.peekable();
    area && number && middle.peek().is_some() && middle.all(is_lower_case_name) && text.len() <= 32
}

/// Returns true if `text` has the form of a partition: `aws`, `aws-cn`, `aws-us-gov`.
pub(crate) fn is_partition(text: &str) -> bool {
    text == "aws" || text.strip_prefix("aws-").is_some_and(is_lower_case_name)
}

/// Returns true if `text` has the form of an account's number.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns true if `text` is 1 to 32 lower-case letters, digits and hyphens.
pub(crate) fn is_lower_case_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_an_area_a_place_and_a_number() {
        for region in ["us-east-1", "ap-southeast-7", "us-gov-west-1", "eusc-de-east-1", "mx-central-1"] {
            assert!(is_region(region), "{region}");
        }
        for text in
            ["", "us", "us-east", "us-1", "us-east-", "us--1", "US-EAST-1", "us-east-1a", "us east-1", "-east-1"]
        {
            assert!(!is_region(text), "{text}");
        }
    }
}
