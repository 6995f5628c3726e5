//! The one calculation on large numbers that a fingerprint needs: a remainder.
//!
//! OpenSSH's format and PPK leave out two numbers of the PKCS#1 structure, `d mod (p-1)` and
//! `d mod (q-1)`. They are unique, so computing them rebuilds the very bytes of the original.

/// `number mod (modulus - 1)`, both most significant byte first. `None` when `modulus` is 0, 1 or
/// absurdly large.
pub(super) fn rem_minus_one(number: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    if modulus.len() > 2048 || number.len() > 2048 {
        return None;
    }
    let modulus = minus_one(&limbs(modulus))?;
    if modulus.iter().all(|limb| *limb == 0) {
        return None;
    }
    let mut rest = vec![0_u32; modulus.len() + 1];
    for byte in number {
        for bit in (0..8).rev() {
            double(&mut rest, (byte >> bit) & 1);
            if !less(&rest, &modulus) {
                subtract(&mut rest, &modulus);
            }
        }
    }
    Some(rest.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect())
}

/// Bytes to limbs, least significant first.
fn limbs(bytes: &[u8]) -> Vec<u32> {
    bytes.rchunks(4).map(|chunk| chunk.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte))).collect()
}

/// One less; `None` for zero.
fn minus_one(number: &[u32]) -> Option<Vec<u32>> {
    let mut out = number.to_vec();
    for limb in &mut out {
        let (value, borrow) = limb.overflowing_sub(1);
        *limb = value;
        if !borrow {
            return Some(out);
        }
    }
    None
}

/// Shifts left by one and adds a bit.
fn double(number: &mut [u32], bit: u8) {
    let mut carry = u32::from(bit);
    for limb in number {
        let next = *limb >> 31;
        *limb = (*limb << 1) | carry;
        carry = next;
    }
}

/// Whether `a < b`; `a` has one limb more.
fn less(a: &[u32], b: &[u32]) -> bool {
    a.iter().rev().cmp([0].iter().chain(b.iter().rev())).is_lt()
}

/// `a -= b`; `a` has one limb more and is not smaller.
fn subtract(a: &mut [u32], b: &[u32]) {
    let mut borrow = false;
    for (index, limb) in a.iter_mut().enumerate() {
        let (value, first) = limb.overflowing_sub(b.get(index).copied().unwrap_or(0));
        let (value, second) = value.overflowing_sub(u32::from(borrow));
        *limb = value;
        borrow = first || second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_agree_with_machine_arithmetic() {
        for (number, modulus) in
            [(0_u128, 2_u64), (1_000_003, 98), (u128::MAX, 0xffff_fffe), (u128::MAX - 5, u64::MAX), (1 << 100, 3)]
        {
            let expected = number % u128::from(modulus - 1);
            let rest = rem_minus_one(&number.to_be_bytes(), &modulus.to_be_bytes()).unwrap_or_default();
            let rest = rest.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
            assert_eq!(rest, expected, "{number} mod ({modulus} - 1)");
        }
        assert_eq!(rem_minus_one(&[5], &[1]), None);
        assert_eq!(rem_minus_one(&[5], &[]), None);
    }
}
