//! Random operations on a whole meeting; the fuzz target runs the same ones for longer.

use crate::fuzzing::{OPERATIONS, operations};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_sequence_of_operations_leaves_the_meeting_consistent(
        choice in any::<u8>(),
        // Without the last, which takes the rest of the data for a document.
        sequence in proptest::collection::vec((0..OPERATIONS - 1, any::<u8>(), any::<u8>()), 0..300),
    ) {
        let mut data = vec![choice];
        for (what, who, whom) in sequence {
            data.extend([u8::try_from(what).unwrap(), who, whom]);
        }
        operations(&data);
    }
}
