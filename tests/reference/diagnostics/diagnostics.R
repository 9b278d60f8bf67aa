# Writes diagnostics.json: standardized and studentized residuals by lme4, tests of them by car, nortest and stats, and
# DHARMa's residuals and tests for a matrix of simulated responses that is written with them.
# Run in this folder: Rscript diagnostics.R     (lme4 1.1, car 3.1, nortest 1.0, DHARMa 0.5.0)
suppressMessages({library(lme4); library(car); library(nortest); library(DHARMa); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"), warn = 1)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5),
                     calc.derivs = FALSE, check.conv.singular = "ignore")
bundled <- "../../../python/henderson/datasets"
cases <- list(
  list("sleepstudy", "../../data/sleepstudy.csv", "Reaction ~ Days + (Days | Subject)", "Subject", TRUE, c("Subject")),
  list("sleepstudy_ml", "../../data/sleepstudy.csv", "Reaction ~ Days + (Days | Subject)", "Subject", FALSE, c("Subject")),
  list("weighted", "../../data/sleepstudy.csv", "Reaction ~ Days + (Days | Subject)", "Subject", TRUE, c("Subject")),
  list("penicillin", file.path(bundled, "penicillin.csv"), "diameter ~ 1 + (1 | plate) + (1 | sample)", NULL, TRUE,
       c("plate", "sample")),
  list("pastes_nested", file.path(bundled, "pastes.csv"), "strength ~ 1 + (1 | batch/cask)", NULL, TRUE, c("batch")),
  list("ratpup_intercept", file.path(bundled, "ratpup.csv"), "weight ~ Lsize + Treatment + sex + (1 | Litter)", "Litter",
       TRUE, c("Litter", "Treatment", "sex")))

fits <- lapply(cases, function(case) {
  d <- read.csv(case[[2]], stringsAsFactors = TRUE)
  for (f in case[[4]]) d[[f]] <- factor(d[[f]])
  d$.w <- if (case[[1]] == "weighted") d$w else 1
  m <- lmer(as.formula(case[[3]]), d, REML = case[[5]], weights = .w, control = tight)
  m <- update(m, start = getME(m, "theta"))
  standardized <- residuals(m, type = "pearson") / (sigma(m) * sqrt(1 - hatvalues(m)))
  levene <- lapply(case[[6]], function(by) {
    tests <- lapply(c("median", "mean"), function(center)
      leveneTest(standardized, factor(d[[by]]), center = get(center)))
    list(by = by, df = tests[[1]]$Df, statistic = sapply(tests, function(t) t$`F value`[1]),
         p_value = sapply(tests, function(t) t$`Pr(>F)`[1]))
  })
  squares <- standardized^2
  list(name = case[[1]], standardized = unname(standardized), rstudent = unname(rstudent(m)), levene = levene,
       shapiro = unlist(shapiro.test(standardized)[c("statistic", "p.value")]),
       anderson = unlist(ad.test(standardized)[c("statistic", "p.value")]),
       koenker = length(squares) * summary(lm(squares ~ fitted(m)))$r.squared,
       printed = capture.output(print(leveneTest(standardized, factor(d[[case[[6]][1]]])))))
})

set.seed(7)
rows <- 40; n <- 60
mean <- rep(c(0, 3), each = rows / 2)
simulated <- signif(matrix(rnorm(rows * n, mean), rows), 5)
observed <- signif(rnorm(rows, mean, 1.25), 5)
group <- rep(1:4, 10)
pdf(NULL)  # testCategorical draws
found <- suppressWarnings(createDHARMa(simulated, observed, mean, integerResponse = FALSE))
quietly <- function(expression) suppressMessages(suppressWarnings(expression))
uniformity <- quietly(testUniformity(found, plot = FALSE))
outliers <- quietly(testOutliers(found, type = "binomial", plot = FALSE))
dispersion <- quietly(testDispersion(found, plot = FALSE))
categorical <- quietly(testCategorical(found, factor(group)))
dharma <- list(
  simulated = simulated, observed = observed, mean = mean, group = group, scaled = found$scaledResiduals,
  uniformity = list(statistic = unname(uniformity$statistic), p_value = uniformity$p.value),
  outliers = list(count = unname(outliers$statistic), p_value = outliers$p.value),
  dispersion = list(statistic = unname(dispersion$statistic), p_value = dispersion$p.value),
  categorical = list(statistics = sapply(categorical$uniformity$details, function(t) unname(t$statistic)),
                     levene = categorical$homogeneity$`F value`[1]))

out <- list(fits = fits, dharma = dharma)
writeLines(toJSON(out, digits = 15, auto_unbox = TRUE), "diagnostics.json")
