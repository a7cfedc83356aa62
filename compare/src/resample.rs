//! A run as it might have been: blocks of neighbouring stretches, drawn with replacement from a circle.

/// How often each of `n` stretches is drawn, blocks of `length` at a time; together `n`.
pub fn draw(random: &mut fastrand::Rng, n: usize, length: usize, weights: &mut [u64]) {
    weights.fill(0);
    let mut drawn = 0;
    while drawn < n {
        let first = random.usize(..n);
        let here = length.min(n - drawn);
        (first..first + here).for_each(|index| weights[index % n] += 1);
        drawn += here;
    }
}

/// The value that is exceeded as rarely by Student's T with so many degrees of freedom as `z` is by a normal variable: the
/// expansion of Abramowitz and Stegun 26.7.5. From 3 degrees on, up to `z` = 3, it is less than 6 % off.
pub fn student_of_normal(z: f64, degrees: f64) -> f64 {
    let d = degrees.max(1.0);
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * d)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * d * d)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * d.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_drawn_as_there_are_and_each_equally_often() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut weights, mut sums) = ([0; 10], [0; 10]);
        for _ in 0..10_000 {
            draw(&mut random, 10, 3, &mut weights);
            assert_eq!(weights.iter().sum::<u64>(), 10);
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
        }
        assert!(sums.iter().all(|sum| (9_500..10_500).contains(sum)), "{sums:?}");
    }

    #[test]
    fn students_t_meets_the_printed_tables() {
        for (z, degrees, printed) in
            [(1.96, 5.0, 2.571), (1.96, 10.0, 2.228), (1.96, 30.0, 2.042), (2.576, 10.0, 3.169), (2.576, 5.0, 4.032)]
        {
            let found = student_of_normal(z, degrees);
            assert!((found / printed - 1.0).abs() < 0.01, "{z} {degrees}: {found} is not {printed}");
        }
        assert!((student_of_normal(1.96, 1e9) - 1.96).abs() < 1e-6);
    }
}
