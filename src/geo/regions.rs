//! Which region a country lies in: edgeProxy's four, `sa`, `us`, `eu` and `ap`, for every country of ISO 3166-1.
//!
//! edgeProxy's own 46 countries are where it has them. All others go by continent: South America and the Antarctic (which is
//! reached from there) to `sa`; North and Central America and the Caribbean to `us`; Europe and Africa to `eu`; Asia and
//! Oceania to `ap`. Asia's west, that is the Middle East, the Caucasus and Central Asia, is `eu`: its lines run there.
//! Regions that operators name otherwise (`eu-west-1`) are no country's; instances there are near by country alone.
//! Nothing is allocated by a search. Caller: `Geo`.

use std::sync::LazyLock;

use furt_core::model::{Country, Region};

/// A region's place in [`REGIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Sa,
    Us,
    Eu,
    Ap,
}
use Code::{Ap, Eu, Sa, Us};

static REGIONS: LazyLock<[Region; 4]> = LazyLock::new(|| ["sa", "us", "eu", "ap"].map(region));

#[expect(clippy::expect_used, reason = "the texts are constants of this file, and every test parses them")]
fn region(text: &str) -> Region {
    Region::try_new(text).expect("a region of furt's own is valid")
}

/// The region of a country; `None` for two letters that are no country's.
pub(super) fn region_of(country: Country) -> Option<&'static Region> {
    let at = COUNTRIES.binary_search_by_key(&country.as_str(), |(code, _)| code).ok()?;
    Some(&REGIONS[COUNTRIES[at].1 as usize])
}

/// Sorted. ISO 3166-1 as of 2024, and `XK`, which databases and proxies say for Kosovo.
const COUNTRIES: [(&str, Code); 250] = [
    ("AD", Eu),
    ("AE", Eu),
    ("AF", Ap),
    ("AG", Us),
    ("AI", Us),
    ("AL", Eu),
    ("AM", Eu),
    ("AO", Eu),
    ("AQ", Sa),
    ("AR", Sa),
    ("AS", Ap),
    ("AT", Eu),
    ("AU", Ap),
    ("AW", Us),
    ("AX", Eu),
    ("AZ", Eu),
    ("BA", Eu),
    ("BB", Us),
    ("BD", Ap),
    ("BE", Eu),
    ("BF", Eu),
    ("BG", Eu),
    ("BH", Eu),
    ("BI", Eu),
    ("BJ", Eu),
    ("BL", Us),
    ("BM", Us),
    ("BN", Ap),
    ("BO", Sa),
    ("BQ", Us),
    ("BR", Sa),
    ("BS", Us),
    ("BT", Ap),
    ("BV", Sa),
    ("BW", Eu),
    ("BY", Eu),
    ("BZ", Us),
    ("CA", Us),
    ("CC", Ap),
    ("CD", Eu),
    ("CF", Eu),
    ("CG", Eu),
    ("CH", Eu),
    ("CI", Eu),
    ("CK", Ap),
    ("CL", Sa),
    ("CM", Eu),
    ("CN", Ap),
    ("CO", Sa),
    ("CR", Us),
    ("CU", Us),
    ("CV", Eu),
    ("CW", Us),
    ("CX", Ap),
    ("CY", Eu),
    ("CZ", Eu),
    ("DE", Eu),
    ("DJ", Eu),
    ("DK", Eu),
    ("DM", Us),
    ("DO", Us),
    ("DZ", Eu),
    ("EC", Sa),
    ("EE", Eu),
    ("EG", Eu),
    ("EH", Eu),
    ("ER", Eu),
    ("ES", Eu),
    ("ET", Eu),
    ("FI", Eu),
    ("FJ", Ap),
    ("FK", Sa),
    ("FM", Ap),
    ("FO", Eu),
    ("FR", Eu),
    ("GA", Eu),
    ("GB", Eu),
    ("GD", Us),
    ("GE", Eu),
    ("GF", Sa),
    ("GG", Eu),
    ("GH", Eu),
    ("GI", Eu),
    ("GL", Us),
    ("GM", Eu),
    ("GN", Eu),
    ("GP", Us),
    ("GQ", Eu),
    ("GR", Eu),
    ("GS", Sa),
    ("GT", Us),
    ("GU", Ap),
    ("GW", Eu),
    ("GY", Sa),
    ("HK", Ap),
    ("HM", Ap),
    ("HN", Us),
    ("HR", Eu),
    ("HT", Us),
    ("HU", Eu),
    ("ID", Ap),
    ("IE", Eu),
    ("IL", Eu),
    ("IM", Eu),
    ("IN", Ap),
    ("IO", Ap),
    ("IQ", Eu),
    ("IR", Eu),
    ("IS", Eu),
    ("IT", Eu),
    ("JE", Eu),
    ("JM", Us),
    ("JO", Eu),
    ("JP", Ap),
    ("KE", Eu),
    ("KG", Eu),
    ("KH", Ap),
    ("KI", Ap),
    ("KM", Eu),
    ("KN", Us),
    ("KP", Ap),
    ("KR", Ap),
    ("KW", Eu),
    ("KY", Us),
    ("KZ", Eu),
    ("LA", Ap),
    ("LB", Eu),
    ("LC", Us),
    ("LI", Eu),
    ("LK", Ap),
    ("LR", Eu),
    ("LS", Eu),
    ("LT", Eu),
    ("LU", Eu),
    ("LV", Eu),
    ("LY", Eu),
    ("MA", Eu),
    ("MC", Eu),
    ("MD", Eu),
    ("ME", Eu),
    ("MF", Us),
    ("MG", Eu),
    ("MH", Ap),
    ("MK", Eu),
    ("ML", Eu),
    ("MM", Ap),
    ("MN", Ap),
    ("MO", Ap),
    ("MP", Ap),
    ("MQ", Us),
    ("MR", Eu),
    ("MS", Us),
    ("MT", Eu),
    ("MU", Eu),
    ("MV", Ap),
    ("MW", Eu),
    ("MX", Us),
    ("MY", Ap),
    ("MZ", Eu),
    ("NA", Eu),
    ("NC", Ap),
    ("NE", Eu),
    ("NF", Ap),
    ("NG", Eu),
    ("NI", Us),
    ("NL", Eu),
    ("NO", Eu),
    ("NP", Ap),
    ("NR", Ap),
    ("NU", Ap),
    ("NZ", Ap),
    ("OM", Eu),
    ("PA", Us),
    ("PE", Sa),
    ("PF", Ap),
    ("PG", Ap),
    ("PH", Ap),
    ("PK", Ap),
    ("PL", Eu),
    ("PM", Us),
    ("PN", Ap),
    ("PR", Us),
    ("PS", Eu),
    ("PT", Eu),
    ("PW", Ap),
    ("PY", Sa),
    ("QA", Eu),
    ("RE", Eu),
    ("RO", Eu),
    ("RS", Eu),
    ("RU", Eu),
    ("RW", Eu),
    ("SA", Eu),
    ("SB", Ap),
    ("SC", Eu),
    ("SD", Eu),
    ("SE", Eu),
    ("SG", Ap),
    ("SH", Eu),
    ("SI", Eu),
    ("SJ", Eu),
    ("SK", Eu),
    ("SL", Eu),
    ("SM", Eu),
    ("SN", Eu),
    ("SO", Eu),
    ("SR", Sa),
    ("SS", Eu),
    ("ST", Eu),
    ("SV", Us),
    ("SX", Us),
    ("SY", Eu),
    ("SZ", Eu),
    ("TC", Us),
    ("TD", Eu),
    ("TF", Eu),
    ("TG", Eu),
    ("TH", Ap),
    ("TJ", Eu),
    ("TK", Ap),
    ("TL", Ap),
    ("TM", Eu),
    ("TN", Eu),
    ("TO", Ap),
    ("TR", Eu),
    ("TT", Us),
    ("TV", Ap),
    ("TW", Ap),
    ("TZ", Eu),
    ("UA", Eu),
    ("UG", Eu),
    ("UM", Us),
    ("US", Us),
    ("UY", Sa),
    ("UZ", Eu),
    ("VA", Eu),
    ("VC", Us),
    ("VE", Sa),
    ("VG", Us),
    ("VI", Us),
    ("VN", Ap),
    ("VU", Ap),
    ("WF", Ap),
    ("WS", Ap),
    ("XK", Eu),
    ("YE", Eu),
    ("YT", Eu),
    ("ZA", Eu),
    ("ZM", Eu),
    ("ZW", Eu),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// ISO 3166-1 alpha-2, as the time zone database lists it (`iso3166.tab`).
    const ISO: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW \
         BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI \
         FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN \
         IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME \
         MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF \
         PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV \
         SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE \
         YT ZA ZM ZW";

    fn region_named(code: &str) -> Option<&'static str> {
        region_of(Country::try_new(code).unwrap()).map(Region::as_str)
    }

    #[test]
    fn every_country_of_iso_3166_has_a_region_and_nothing_else_has() {
        assert!(COUNTRIES.is_sorted_by(|(one, _), (other, _)| one < other));
        assert_eq!(ISO.split_whitespace().count(), 249);
        for code in ISO.split_whitespace().chain(["XK"]) {
            assert!(region_named(code).is_some(), "{code}");
        }
        let letters = || b'A'..=b'Z';
        let pairs = letters().flat_map(|one| letters().map(move |other| [one, other]));
        let known = pairs.filter(|pair| region_named(std::str::from_utf8(pair).unwrap()).is_some()).count();
        assert_eq!(known, 250);
    }

    #[test]
    fn countries_lie_where_edge_proxy_has_them_and_the_others_by_continent() {
        for (region, countries) in [
            ("sa", "BR AR CL PE CO UY PY BO EC VE"),
            ("us", "US CA MX"),
            ("eu", "DE FR GB IT ES PT NL BE CH AT PL CZ SE NO DK FI IE RU UA"),
            ("ap", "JP KR TW HK SG MY TH VN ID PH AU NZ CN IN"),
            ("sa", "GY SR GF FK AQ"),
            ("us", "GT PA CU JM PR GL BM"),
            ("eu", "GR RO TR IL AE SA IR GE KZ MA EG NG KE ZA MU"),
            ("ap", "PK BD LK MN KH FJ PG GU NC IO"),
        ] {
            for country in countries.split(' ') {
                assert_eq!(region_named(country), Some(region), "{country}");
            }
        }
    }

    #[test]
    fn letters_that_are_no_country_have_no_region() {
        for code in ["XX", "EU", "AP", "ZZ", "AA", "UK", "A1"] {
            assert_eq!(Country::try_new(code).ok().and_then(region_of), None, "{code}");
        }
        assert_eq!(region_named("de"), Some("eu"));
    }
}
