//! The places of items among their siblings: fractions in base 36, compared as text, so that between two there is always
//! room for another without touching either.

const BASE: u32 = 36;
/// How many digits plain counting uses; more are added only where there is no room left.
const WIDTH: usize = 4;
const END: u32 = BASE.pow(WIDTH as u32);
/// From one counted rank to the next.
const STEP: u32 = BASE;
const START: u32 = END / BASE;

/// Ranks for the items of a new group.
pub(super) fn first(count: usize) -> Vec<String> {
    run(None, None, count).unwrap_or_default()
}

/// For each item in its new order what rank it needs, if any: `None` in the list is a new item, otherwise the place it had
/// and its rank. The longest run of items that are still in order stays.
pub(super) fn place(order: &[Option<(usize, &str)>]) -> Vec<Option<String>> {
    let mut fixed = stay(order);
    let mut ranks: Vec<Option<String>> = vec![None; order.len()];
    let mut low: Option<String> = None;
    let mut start = 0;
    while start < order.len() {
        let mut end = start;
        while end < order.len() && !fixed[end] {
            end += 1;
        }
        let high = order.get(end).copied().flatten().map(|(_, rank)| rank);
        if end > start {
            match run(low.as_deref(), high, end - start) {
                Some(run) => run.into_iter().zip(&mut ranks[start..end]).for_each(|(rank, slot)| *slot = Some(rank)),
                // no room, two neighbours have the same rank: the next one moves, too
                None => {
                    fixed[end] = false;
                    continue;
                }
            }
        }
        low = match high {
            Some(rank) => Some(rank.to_owned()),
            None => break,
        };
        start = end + 1;
    }
    ranks
}

/// Which items stay: the longest subsequence whose former places ascend.
fn stay(order: &[Option<(usize, &str)>]) -> Vec<bool> {
    // tails[n]: the item that ends the best ascending run of n + 1 items; back: the one before it
    let mut tails: Vec<usize> = Vec::new();
    let mut back: Vec<Option<usize>> = vec![None; order.len()];
    let was = |at: usize| order[at].map_or(0, |(was, _)| was);
    for at in (0..order.len()).filter(|at| order[*at].is_some()) {
        let length = tails.partition_point(|tail| was(*tail) < was(at));
        back[at] = length.checked_sub(1).map(|before| tails[before]);
        if length == tails.len() {
            tails.push(at);
        } else {
            tails[length] = at;
        }
    }
    let mut stays = vec![false; order.len()];
    let mut next = tails.last().copied();
    while let Some(at) = next {
        stays[at] = true;
        next = back[at];
    }
    stays
}

/// So many ascending ranks strictly between two, as text. `None` if there is no room.
fn run(low: Option<&str>, high: Option<&str>, count: usize) -> Option<Vec<String>> {
    let low = low.unwrap_or("");
    match high {
        None => {
            let mut ranks = Vec::with_capacity(count);
            let mut last = low.to_owned();
            for _ in 0..count {
                last = after(&last);
                ranks.push(last.clone());
            }
            Some(ranks)
        }
        Some(high) => {
            let mut ranks = Vec::with_capacity(count);
            split(low, high, count, &mut ranks)?;
            Some(ranks)
        }
    }
}

fn split(low: &str, high: &str, count: usize, ranks: &mut Vec<String>) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let middle = if low.is_empty() { before(high) } else { None }.filter(|_| count == 1);
    let middle = middle.or_else(|| between(low, high))?;
    split(low, &middle, (count - 1) / 2, ranks)?;
    ranks.push(middle.clone());
    split(&middle, high, count - 1 - (count - 1) / 2, ranks)
}

/// A rank behind all that begin like this one.
fn after(low: &str) -> String {
    if low.is_empty() {
        return counted(START);
    }
    match lead(low).map(|number| (number / STEP + 1) * STEP) {
        Some(number) if number < END => counted(number),
        _ => format!("{low}i"),
    }
}

fn before(high: &str) -> Option<String> {
    let number = (lead(high)?.div_ceil(STEP)).checked_sub(1)? * STEP;
    let rank = counted(number);
    (number > 0 && rank.as_str() < high).then_some(rank)
}

fn between(low: &str, high: &str) -> Option<String> {
    let mut rank = String::new();
    let mut high = Some(high.as_bytes());
    let mut at = 0;
    loop {
        let floor = low.as_bytes().get(at).map_or(Some(0), |c| digit(*c))?;
        let ceiling = match high {
            Some(high) => digit(*high.get(at)?)?,
            None => BASE,
        };
        match ceiling.checked_sub(floor)? {
            0 => rank.push(character(floor)),
            1 => {
                rank.push(character(floor));
                high = None;
            }
            _ => {
                rank.push(character((floor + ceiling) / 2));
                return Some(rank);
            }
        }
        at += 1;
    }
}

/// The leading digits as a number.
fn lead(rank: &str) -> Option<u32> {
    let digits = rank.bytes().chain(std::iter::repeat(b'0')).take(WIDTH);
    digits.map(digit).try_fold(0, |number, digit| Some(number * BASE + digit?))
}

/// The rank of a number; without zeros at the end, so that there is room below it.
fn counted(mut number: u32) -> String {
    let mut digits = [b'0'; WIDTH];
    for slot in digits.iter_mut().rev() {
        *slot = character(number % BASE) as u8;
        number /= BASE;
    }
    digits.iter().map(|c| *c as char).collect::<String>().trim_end_matches('0').to_owned()
}

fn digit(c: u8) -> Option<u32> {
    // capitals sort elsewhere; a rank with them is none of ours
    (c as char).to_digit(BASE).filter(|_| !c.is_ascii_uppercase())
}

fn character(digit: u32) -> char {
    char::from_digit(digit, BASE).unwrap_or('z')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranks_stay_short_where_people_append() {
        let mut last = String::new();
        for _ in 0..1_000 {
            let next = after(&last);
            assert!(next > last && next.len() <= WIDTH, "{last} {next}");
            last = next;
        }
    }

    #[test]
    fn there_is_room_between_any_two_of_ours() {
        for (low, high) in [("", "1"), ("1", "101"), ("1", "11"), ("zz", "zzi"), ("", "0001"), ("a", "a01")] {
            let rank = between(low, high).unwrap_or_else(|| panic!("{low} {high}"));
            assert!(low < rank.as_str() && rank.as_str() < high && !rank.ends_with('0'), "{low} {rank} {high}");
        }
        assert_eq!(between("a", "a"), None);
        assert_eq!(between("B", "C"), None);
    }

    #[test]
    fn one_move_writes_one_rank() {
        let ranks = first(5);
        let order: Vec<_> = [4, 0, 1, 2, 3].iter().map(|at| Some((*at, ranks[*at].as_str()))).collect();
        let placed = place(&order);
        assert_eq!(placed.iter().flatten().count(), 1);
        assert!(placed[0].as_deref().is_some_and(|rank| rank < ranks[0].as_str()));
    }

    proptest! {
        #[test]
        fn any_order_is_reached(seed in prop::collection::vec((0..30usize, any::<bool>()), 0..40), same in any::<bool>()) {
            let ranks: Vec<String> = if same { vec!["x".into(); 30] } else { first(30) };
            let mut seen = std::collections::HashSet::new();
            let order: Vec<_> = seed
                .iter()
                .filter(|(at, new)| *new || seen.insert(*at))
                .map(|(at, new)| (!new).then(|| (*at, ranks[*at].as_str())))
                .collect();
            let placed = place(&order);
            let now: Vec<(&str, usize)> = order
                .iter()
                .zip(&placed)
                .enumerate()
                // items with the same rank stand in order of their keys, here their places
                .map(|(i, (item, rank))| match (rank, item) {
                    (Some(rank), _) => (rank.as_str(), usize::MAX - 100 + i),
                    (None, Some((was, rank))) => (*rank, *was),
                    (None, None) => unreachable!("a new item has a rank"),
                })
                .collect();
            prop_assert!(now.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", now);
        }
    }
}
