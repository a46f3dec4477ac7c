"""What each data set is: its columns, factor levels, meaning and original publication."""

from string import ascii_lowercase, ascii_uppercase

from lmm.datasets._schema import Column, Dataset


def _numbers(last: int) -> tuple[str, ...]:
    """Labels "1", "2", ... up to `last`."""
    return tuple(str(number) for number in range(1, last + 1))


def _labels(text: str) -> tuple[str, ...]:
    """Labels separated by blanks."""
    return tuple(text.split())


_DAVIES = (
    "Davies, O. L. and Goldsmith, P. L. (eds) (1972). Statistical Methods in Research and Production, "
    "4th edition. Oliver and Boyd."
)
_DIGGLE = "Diggle, P. J., Liang, K.-Y. and Zeger, S. L. (1994). Analysis of Longitudinal Data. Oxford University Press."
_BATTESE = (
    "Battese, G. E., Harter, R. M. and Fuller, W. A. (1988). An error-components model for prediction of "
    "county crop areas using survey and satellite data. Journal of the American Statistical Association 83, 28-36."
)

DATASETS = (
    Dataset(
        name="lamb",
        title="birth weights of lambs",
        n_rows=62,
        columns=(
            Column("Sire", "factor", "father of the lamb; each sire belongs to one line", _numbers(23)),
            Column("Line", "factor", "population line: two control lines and three selection lines", _numbers(5)),
            Column("Age", "factor", "age class of the dam: 1-2 years, 2-3 years, over 3 years", _numbers(3)),
            Column("Weight", "float", "weight of the lamb at birth (lb)"),
        ),
        about=(
            "Single male lambs, each from a different dam, sired by 23 rams of five lines: an unbalanced mixed model "
            "with fixed lines and age classes and random sires, used to study intervals for a variance ratio or a "
            "heritability. The values are those printed in Jiang (2007, Table 1.2). The two printings differ in "
            "one lamb: the 20th row is 9.0 in the book, as here, and 9.5 in the paper of 1985. Published analyses "
            "often take the third age class as the reference; here it is the first."
        ),
        sources=(
            (
                "Harville, D. A. and Fenech, A. P. (1985). Confidence intervals for a variance ratio, or for "
                "heritability, in an unbalanced mixed linear model. Biometrics 41, 137-152."
            ),
            "Jiang, J. (2007). Linear and Generalized Linear Mixed Models and Their Applications. Springer.",
        ),
    ),
    Dataset(
        name="pig_weights",
        title="growth of pigs",
        n_rows=432,
        columns=(
            Column("id.num", "int", "number of the pig, 1 to 48"),
            Column("num.weeks", "int", "week of the measurement, 1 to 9"),
            Column("weight", "float", "body weight (kg)"),
        ),
        about=(
            "48 pigs, each weighed in nine successive weeks. Growth is close to linear, with a starting weight and a "
            "rate of its own for every pig. Two column names contain a dot; a formula takes them as they stand."
        ),
        sources=(_DIGGLE,),
    ),
    Dataset(
        name="sitka",
        title="size of Sitka spruces grown with and without ozone",
        n_rows=395,
        columns=(
            Column("size", "float", "natural logarithm of height times squared diameter"),
            Column("Time", "int", "day of the measurement, counted from 1 January 1988 (days)"),
            Column("tree", "int", "number of the tree, 1 to 79"),
            Column("treat", "factor", "air in the growth chamber", ("control", "ozone")),
        ),
        about=(
            "79 trees measured on five days of 1988: 54 grew in chambers enriched with ozone, 25 in control chambers. "
            "The question is whether ozone slows growth."
        ),
        sources=(
            _DIGGLE,
            (
                "Distributed as Sitka in the R package MASS: Venables, W. N. and Ripley, B. D. (2002). Modern "
                "Applied Statistics with S, 4th edition. Springer."
            ),
        ),
    ),
    Dataset(
        name="sleepstudy",
        title="reaction times under restricted sleep",
        n_rows=180,
        columns=(
            Column("Reaction", "float", "mean reaction time over the tests of a day (ms)"),
            Column("Days", "int", "day of the study, 0 to 9 (days)"),
            Column(
                "Subject",
                "factor",
                "the person tested",
                _labels("308 309 310 330 331 332 333 334 335 337 349 350 351 352 369 370 371 372"),
            ),
        ),
        about=(
            "18 people allowed three hours in bed per night, tested on ten successive days. Reaction times lengthen "
            "with the days, faster for some people than for others: the standard example of random intercepts "
            "and slopes."
        ),
        sources=(
            (
                "Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C., Redmond, D. P., Russo, M. "
                "B. and Balkin, T. J. (2003). Patterns of performance degradation and restoration during sleep "
                "restriction and subsequent recovery: a sleep dose-response study. Journal of Sleep Research 12, 1-12."
            ),
            "Distributed in the R package lme4.",
        ),
    ),
    Dataset(
        name="dyestuff",
        title="yield of a dyestuff by batch",
        n_rows=30,
        columns=(
            Column("Batch", "factor", "batch of the intermediate product", tuple("ABCDEF")),
            Column("Yield", "float", "yield of a preparation (grams of standard colour)"),
        ),
        about=(
            "Five preparations of the dye Naphthalene Black 12B from each of six batches of its intermediate, H-acid. "
            "A balanced one-way layout: how much of the variation in yield comes from the batches?"
        ),
        sources=(f"{_DAVIES} Section 6.4.",),
    ),
    Dataset(
        name="dyestuff2",
        title="constructed yields with no variance between batches",
        n_rows=30,
        columns=(
            Column("Batch", "factor", "batch", tuple("ABCDEF")),
            Column("Yield", "float", "constructed response (no unit)"),
        ),
        about=(
            "Artificial numbers in the layout of dyestuff, made so that the mean square between batches is less "
            "than that within: the estimated batch variance is exactly zero."
        ),
        sources=(
            (
                "Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis. Addison-Wesley. "
                "Section 5.1.2."
            ),
        ),
    ),
    Dataset(
        name="penicillin",
        title="assay of penicillin samples on plates",
        n_rows=144,
        columns=(
            Column("diameter", "float", "diameter of the zone of growth inhibition (mm)"),
            Column("plate", "factor", "assay plate", tuple(ascii_lowercase[:24])),
            Column("sample", "factor", "penicillin sample", tuple("ABCDEF")),
        ),
        about=(
            "Each of six samples of penicillin was tested once on each of 24 plates by the B. subtilis method: two "
            "random factors, completely crossed."
        ),
        sources=(f"{_DAVIES} Section 6.6.",),
    ),
    Dataset(
        name="pastes",
        title="strength of a paste by delivery and cask",
        n_rows=60,
        columns=(
            Column("strength", "float", "strength of the paste (no unit is published)"),
            Column("batch", "factor", "delivery batch", tuple(ascii_uppercase[:10])),
            Column("cask", "factor", "cask within the batch; the labels repeat in every batch", tuple("abc")),
            Column(
                "sample",
                "factor",
                "batch and cask together, one label for each of the 30 casks",
                tuple(f"{batch}:{cask}" for batch in ascii_uppercase[:10] for cask in "abc"),
            ),
        ),
        about=(
            "Three casks from each of ten deliveries of a chemical paste, each assayed twice: casks are nested in "
            "batches. Since the cask labels repeat, (1 | batch/cask) and (1 | batch) + (1 | sample) are the model, "
            "and (1 | batch) + (1 | cask) is not."
        ),
        sources=(f"{_DAVIES} Section 6.5.",),
    ),
    Dataset(
        name="cake",
        title="breaking angle of chocolate cakes",
        n_rows=270,
        columns=(
            Column("replicate", "factor", "mixing of the batter; the labels repeat in every recipe", _numbers(15)),
            Column("recipe", "factor", "recipe of the batter", tuple("ABC")),
            Column(
                "temperature",
                "ordered",
                "baking temperature (degrees Fahrenheit)",
                ("175", "185", "195", "205", "215", "225"),
            ),
            Column("angle", "int", "angle at which the cake broke (degrees)"),
            Column("temp", "int", "baking temperature as a number (degrees Fahrenheit)"),
        ),
        about=(
            "A split plot: for each of three recipes, 15 batters were mixed, and every batter was divided into six "
            "cakes baked at six temperatures. The whole plots are the 45 combinations recipe:replicate."
        ),
        sources=(
            "Cook, F. E. (1938). Chocolate cake, I. Optimum baking temperature. Master's thesis, Iowa State College.",
            "Cochran, W. G. and Cox, G. M. (1957). Experimental Designs, 2nd edition. Wiley. Page 300.",
        ),
    ),
    Dataset(
        name="oats",
        title="yield of oats in a split-plot trial",
        n_rows=72,
        columns=(
            Column("Block", "factor", "block of the field", ("VI", "V", "III", "IV", "II", "I")),
            Column("Variety", "factor", "variety of oats, on whole plots", ("Golden Rain", "Marvellous", "Victory")),
            Column("nitro", "float", "nitrogen applied to the subplot (hundredweight per acre)"),
            Column("yield", "float", "yield of the subplot of 1/80 acre (quarter pounds)"),
        ),
        about=(
            "Three varieties were laid out on whole plots in six blocks, and four rates of nitrogen on the subplots. "
            "The blocks stand in the order of the R package nlme, by increasing best yield."
        ),
        sources=(
            (
                "Yates, F. (1935). Complex experiments. Supplement to the Journal of the Royal Statistical Society "
                "2, 181-247."
            ),
            "Distributed as Oats in the R package nlme.",
        ),
    ),
    Dataset(
        name="machines",
        title="productivity of workers on three machines",
        n_rows=54,
        columns=(
            Column("Worker", "factor", "the person at the machine", ("6", "2", "4", "1", "3", "5")),
            Column("Machine", "factor", "brand of the machine", tuple("ABC")),
            Column("score", "float", "productivity score, from number and quality of the parts made (points)"),
        ),
        about=(
            "Six workers drawn at random from a factory operated each of three brands of machine three times. Machines "
            "are fixed, workers random, and their interaction is large. The workers stand in the order of the R "
            "package nlme, by increasing best score."
        ),
        sources=(
            (
                "Milliken, G. A. and Johnson, D. E. (1992). Analysis of Messy Data, Volume I: Designed Experiments. "
                "Chapman and Hall. Page 285."
            ),
            "Distributed as Machines in the R package nlme.",
        ),
    ),
    Dataset(
        name="orthodont",
        title="growth of the jaw in children",
        n_rows=108,
        columns=(
            Column("distance", "float", "distance from the pituitary to the pterygomaxillary fissure (mm)"),
            Column("age", "int", "age of the child: 8, 10, 12 or 14 (years)"),
            Column(
                "Subject",
                "factor",
                "the child",
                _labels(
                    "M16 M05 M02 M11 M07 M08 M03 M12 M13 M14 M09 M15 M06 M04 M01 M10 "
                    "F10 F09 F06 F01 F05 F07 F02 F08 F03 F04 F11"
                ),
            ),
            Column("Sex", "factor", "sex of the child", ("Male", "Female")),
        ),
        about=(
            "X-ray measurements of 16 boys and 11 girls at four ages: do they grow at different rates? The children "
            "stand in the order of the R package nlme, by increasing mean distance within each sex."
        ),
        sources=(
            (
                "Potthoff, R. F. and Roy, S. N. (1964). A generalized multivariate analysis of variance model useful "
                "especially for growth curve problems. Biometrika 51, 313-326."
            ),
            "Distributed as Orthodont in the R package nlme.",
        ),
    ),
    Dataset(
        name="rail",
        title="travel time of ultrasonic waves in railway rails",
        n_rows=18,
        columns=(
            Column("Rail", "factor", "the rail", ("2", "5", "1", "6", "3", "4")),
            Column("travel", "float", "travel time in excess of 36,100 ns (ns)"),
        ),
        about=(
            "Six rails chosen at random, each measured three times; the wave's travel time tells of the longitudinal "
            "stress in the rail. Most of the variation lies between rails. The rails stand in the order of the R "
            "package nlme, by increasing mean travel time."
        ),
        sources=(
            (
                "Devore, J. L. (2000). Probability and Statistics for Engineering and the Sciences, 5th edition. "
                "Duxbury. Example 10.10."
            ),
            "Distributed as Rail in the R package nlme.",
        ),
    ),
    Dataset(
        name="ergostool",
        title="effort of rising from a stool",
        n_rows=36,
        columns=(
            Column("effort", "float", "effort felt on rising (points of the Borg scale)"),
            Column("Type", "factor", "type of the stool", ("T1", "T2", "T3", "T4")),
            Column("Subject", "factor", "the person seated", ("8", "5", "4", "9", "6", "3", "7", "1", "2")),
        ),
        about=(
            "Nine people each rose once from each of four stools: a randomised block design with people as blocks. "
            "The people stand in the order of the R package nlme, by increasing mean effort."
        ),
        sources=(
            (
                "Wretenberg, P., Arborelius, U. P. and Lindberg, F. (1993). The effects of a pneumatic stool and a "
                "one-legged stool on lower limb joint load and muscular activity during sitting and rising. "
                "Ergonomics 36, 519-535."
            ),
            "Distributed as ergoStool in the R package nlme.",
        ),
    ),
    Dataset(
        name="milk",
        title="expenditure on fresh milk in small areas",
        n_rows=43,
        columns=(
            Column("SmallArea", "int", "number of the area, 1 to 43"),
            Column("ni", "int", "sample size of the area"),
            Column("yi", "float", "direct estimate of the average expenditure on fresh milk (as published)"),
            Column("SD", "float", "estimated standard deviation of yi (unit of yi)"),
            Column("CV", "float", "estimated coefficient of variation of yi (a ratio)"),
            Column("MajorArea", "int", "one of four groups of areas with similar estimates"),
        ),
        about=(
            "Survey estimates for 43 areas in 1989, each with its sampling standard deviation: the example of the "
            "area-level (Fay-Herriot) model, in which the residual variances are known, "
            "Var(e_i) = SD_i squared, and the areas carry a random effect. The major areas were added by "
            "You and Chapman (2006)."
        ),
        sources=(
            (
                "Arora, V. and Lahiri, P. (1997). On the superiority of the Bayesian method over the BLUP in small "
                "area estimation problems. Statistica Sinica 7, 1053-1063."
            ),
            (
                "You, Y. and Chapman, B. (2006). Small area estimation using area level models and estimated sampling "
                "variances. Survey Methodology 32, 97-103."
            ),
        ),
    ),
    Dataset(
        name="cornsoybean",
        title="crop areas from a survey and from satellite images",
        n_rows=37,
        columns=(
            Column("County", "int", "number of the county, 1 to 12"),
            Column("CornHec", "float", "corn in the sampled segment, by interview (hectares)"),
            Column("SoyBeansHec", "float", "soybeans in the sampled segment, by interview (hectares)"),
            Column("CornPix", "int", "pixels of the segment classified as corn (count)"),
            Column("SoyBeansPix", "int", "pixels of the segment classified as soybeans (count)"),
        ),
        about=(
            "37 area segments in 12 counties of Iowa: the example of the unit-level (nested-error) model, which "
            "predicts county means from satellite pixels known everywhere. The 33rd row, the second "
            "segment of Hardin county, is the suspect observation that the authors left out. County means "
            "of the pixels are in cornsoybean_means."
        ),
        sources=(_BATTESE,),
    ),
    Dataset(
        name="cornsoybean_means",
        title="county means that go with cornsoybean",
        n_rows=12,
        columns=(
            Column("CountyIndex", "int", "number of the county, County in cornsoybean"),
            Column(
                "CountyName",
                "factor",
                "name of the county",
                (
                    "CerroGordo",
                    "Franklin",
                    "Hamilton",
                    "Hancock",
                    "Hardin",
                    "Humboldt",
                    "Kossuth",
                    "Pocahontas",
                    "Webster",
                    "Winnebago",
                    "Worth",
                    "Wright",
                ),
            ),
            Column("SampSegments", "int", "segments in the sample (count)"),
            Column("PopnSegments", "int", "segments in the county (count)"),
            Column("MeanCornPixPerSeg", "float", "mean number of corn pixels of the county's segments"),
            Column("MeanSoyBeansPixPerSeg", "float", "mean number of soybean pixels of the county's segments"),
        ),
        about="Sample and population sizes of the 12 counties of cornsoybean, and the county means of the pixels.",
        sources=(_BATTESE,),
    ),
    Dataset(
        name="insteval",
        title="ratings of lectures by students at ETH Zurich",
        n_rows=73_421,
        columns=(
            Column("s", "factor", "student, 1 to 2972"),
            Column("d", "factor", "lecturer, 1,128 of the labels 1 to 2160"),
            Column("studage", "ordered", "how long the student has been enrolled (semesters)", ("2", "4", "6", "8")),
            Column("lectage", "ordered", "how long ago the lecture was given (semesters)", _numbers(6)),
            Column(
                "service", "factor", "1 if the lecture was held for a department not the lecturer's own", ("0", "1")
            ),
            Column(
                "dept",
                "factor",
                "department of the lecture, a random code",
                _labels("15 5 10 12 6 7 4 8 9 14 1 3 11 2"),
            ),
            Column("y", "int", "rating, from 1 (poor) to 5 (very good)"),
        ),
        about=(
            "Anonymised evaluations: each row is the rating of one lecture by one student. Students and lecturers "
            "are crossed, incompletely and without balance, which makes this the usual benchmark of crossed random "
            "effects at a moderate size."
        ),
        sources=(
            (
                "Distributed as InstEval in the R package lme4: Bates, D., Maechler, M., Bolker, B. and Walker, S. "
                "(2015). Fitting linear mixed-effects models using lme4. Journal of Statistical Software 67(1), 1-48."
            ),
        ),
        compressed=True,
    ),
)
