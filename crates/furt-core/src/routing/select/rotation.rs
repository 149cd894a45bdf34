//! The rotation by weight: each number once in a round, and those of one instance far apart, so that an instance of weight 200 is
//! not asked 200 times in a row. What nginx's smooth weighted round robin is for, without a state for each instance.

/// The largest total whose step is known beforehand: 16 instances of weight 255, as many as are looked at one by one.
const TABLE: usize = 16 * 255 + 1;

static STEPS: [u16; TABLE] = steps();

const fn steps() -> [u16; TABLE] {
    let mut steps = [1; TABLE];
    let mut total = 1;
    while total < TABLE {
        steps[total] = step(total as u32) as u16;
        total += 1;
    }
    steps
}

/// Which of the numbers below `total`, at least 1, is next.
///
/// Steps of the golden section spread most evenly; the step and `total` share no factor, so that no number is left out.
pub(super) fn rotation_position(rotation: u32, total: u32) -> u32 {
    let step = match STEPS.get(total as usize) {
        Some(step) => u32::from(*step),
        None => step(total),
    };
    let position = u64::from(rotation % total) * u64::from(step) % u64::from(total);
    // The remainder of a division by `total`, which is a u32.
    position as u32
}

const fn step(total: u32) -> u32 {
    let mut step = (total as u64 * 618_033_989 / 1_000_000_000) as u32;
    while step > 1 && greatest_common_divisor(step, total) != 1 {
        step -= 1;
    }
    if step == 0 { 1 } else { step }
}

const fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
