//! Lists from a peer, bounded before they are read.

use alloc::vec::Vec;

use borsh::BorshDeserialize;
use borsh::io::{Error, ErrorKind, Read, Result};

/// Reads a list of at most `max` elements. borsh alone would read as many as the frame holds, and some elements take
/// thirty times as much memory as they have bytes.
pub(crate) fn read_list<T: BorshDeserialize, R: Read>(reader: &mut R, max: usize) -> Result<Vec<T>> {
    let count = u32::deserialize_reader(reader)? as usize;
    if count > max {
        return Err(Error::new(ErrorKind::InvalidData, "the list is too long"));
    }
    // Not `with_capacity`: a count alone must allocate nothing.
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(T::deserialize_reader(reader)?);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_be_as_long_as_it_may_be() {
        let bytes = [&2u32.to_le_bytes()[..], &[7, 8]].concat();
        assert_eq!(read_list::<u8, _>(&mut &bytes[..], 2).ok(), Some([7, 8].to_vec()));
        assert!(read_list::<u8, _>(&mut &bytes[..], 1).is_err());
    }
}
