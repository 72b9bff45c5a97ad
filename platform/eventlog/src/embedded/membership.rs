//! Which member of a group is to have which partition: spread evenly, moving as few as possible.

/// The wanted owner of each partition, given the present ones (`None`: free). No owners without members.
pub(super) fn spread(present: &[Option<u64>], members: &[u64]) -> Vec<Option<u64>> {
    if members.is_empty() {
        return vec![None; present.len()];
    }
    let held = |member: u64| present.iter().filter(|owner| **owner == Some(member)).count();
    let mut shares: Vec<Share> =
        members.iter().map(|&member| Share { member, held: held(member), quota: 0 }).collect();
    // Who holds most now keeps one more, so that nothing moves in vain.
    shares.sort_by_key(|share| (std::cmp::Reverse(share.held), share.member));
    let (each, rest) = (present.len() / members.len(), present.len() % members.len());
    for (index, share) in shares.iter_mut().enumerate() {
        share.quota = each + usize::from(index < rest);
    }
    let mut wanted: Vec<Option<u64>> =
        present.iter().map(|owner| owner.filter(|&owner| keep(&mut shares, owner))).collect();
    let mut free = shares.iter().flat_map(|share| std::iter::repeat_n(share.member, share.quota));
    for owner in wanted.iter_mut().filter(|owner| owner.is_none()) {
        *owner = free.next();
    }
    wanted
}

struct Share {
    member: u64,
    held: usize,
    /// How many more partitions it is to have.
    quota: usize,
}

fn keep(shares: &mut [Share], owner: u64) -> bool {
    let share = shares.iter_mut().find(|share| share.member == owner && share.quota > 0);
    share.map(|share| share.quota -= 1).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_member_takes_over_half_and_the_rest_stays() {
        assert_eq!(spread(&[None; 4], &[7]), [Some(7); 4]);
        assert_eq!(spread(&[Some(7); 4], &[7, 8]), [Some(7), Some(7), Some(8), Some(8)]);
        assert_eq!(spread(&[Some(7); 3], &[7, 8]), [Some(7), Some(7), Some(8)]);
        assert_eq!(spread(&[Some(7), None, Some(9)], &[9]), [Some(9); 3]);
        assert_eq!(spread(&[Some(7); 2], &[]), [None; 2]);
    }

    proptest! {
        #[test]
        fn shares_differ_by_one_at_most_and_nothing_moves_in_vain(
            present in prop::collection::vec(prop::option::of(0_u64..5), 0..24),
            members in prop::collection::btree_set(0_u64..8, 1..6),
        ) {
            let members: Vec<u64> = members.into_iter().collect();
            let wanted = spread(&present, &members);
            let count = |member: &u64| wanted.iter().filter(|owner| **owner == Some(*member)).count();
            let counts: Vec<usize> = members.iter().map(count).collect();
            prop_assert_eq!(counts.iter().sum::<usize>(), present.len());
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
            prop_assert_eq!(spread(&wanted, &members), wanted.clone());
            for (before, after) in present.iter().zip(&wanted) {
                let Some(owner) = before.filter(|owner| members.contains(owner) && Some(*owner) != *after) else { continue };
                prop_assert!(count(&owner) >= present.len() / members.len(), "{owner} lost one without being full");
            }
        }
    }
}
