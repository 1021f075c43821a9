use althing_model::Entropy;

/// The operating system's random numbers.
#[derive(Debug)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn next_u64(&mut self) -> u64 {
        getrandom::u64().expect("the operating system has random numbers")
    }
}
