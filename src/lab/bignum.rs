//! Modular powers of big numbers, for the one RSA encryption that the story needs.
//!
//! Used by `keys` only. Slow and not constant in time: it must never see a secret that matters.

/// `base^exponent mod modulus`; all big-endian, the result as long as the modulus.
pub(super) fn mod_pow(base: &[u8], exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let n = limbs(modulus);
    let base = limbs(base);
    let mut result = vec![0; n.len()];
    if let Some(first) = result.first_mut() {
        *first = 1;
    }
    for byte in exponent {
        for bit in (0..8).rev() {
            result = mod_mul(&result, &result, &n);
            if byte >> bit & 1 == 1 {
                result = mod_mul(&result, &base, &n);
            }
        }
    }
    let mut out: Vec<u8> = result.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    out.truncate(modulus.len());
    out.reverse();
    out
}

/// Little-endian words.
fn limbs(bytes: &[u8]) -> Vec<u32> {
    let mut all: Vec<u8> = bytes.iter().rev().copied().collect();
    all.resize(bytes.len().div_ceil(4) * 4, 0);
    all.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

/// Double and add, from the highest bit of `right` down. Both are below `n` or as long as it.
fn mod_mul(left: &[u32], right: &[u32], n: &[u32]) -> Vec<u32> {
    let mut sum = vec![0; n.len()];
    for word in right.iter().rev() {
        for bit in (0..32).rev() {
            let carry = add(&sum.clone(), &mut sum);
            reduce(&mut sum, carry, n);
            if word >> bit & 1 == 1 {
                let carry = add(left, &mut sum);
                reduce(&mut sum, carry, n);
            }
        }
    }
    sum
}

/// Adds to `sum`; the carry beyond its length.
fn add(other: &[u32], sum: &mut [u32]) -> bool {
    let mut carry = 0_u64;
    for (at, slot) in sum.iter_mut().enumerate() {
        carry += u64::from(*slot) + u64::from(other.get(at).copied().unwrap_or(0));
        *slot = carry as u32;
        carry >>= 32;
    }
    carry != 0
}

/// Takes `n` away once if the number, with its carry, is not below it.
fn reduce(number: &mut [u32], carry: bool, n: &[u32]) {
    if carry || number.iter().rev().ge(n.iter().rev()) {
        let mut borrow = false;
        for (slot, take) in number.iter_mut().zip(n) {
            let (left, first) = slot.overflowing_sub(*take);
            let (left, second) = left.overflowing_sub(u32::from(borrow));
            *slot = left;
            borrow = first || second;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_powers() {
        assert_eq!(mod_pow(&[4], &[13], &[1, 241]), [1, 189]);
        assert_eq!(mod_pow(&[2, 0, 1], &[1, 0, 1], &[9, 8, 7, 6, 5]), {
            let (mut result, n) = (1_u128, 0x09_0807_0605_u128);
            for _ in 0..65537 {
                result = result * 0x02_0001 % n;
            }
            result.to_be_bytes()[11..].to_vec()
        });
    }
}
