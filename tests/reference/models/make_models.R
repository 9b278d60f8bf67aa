# Writes what lme4, lmerTest and performance say about comparisons, deletions, backward elimination and shares of variance.
#   Rscript make_models.R PACKAGE_DATA_DIR TEST_DATA_DIR OUT.json
# needs (Debian): r-cran-lme4 r-cran-lmertest r-cran-pbkrtest r-cran-performance r-cran-jsonlite
suppressMessages({library(lme4); library(lmerTest); library(performance); library(jsonlite)})
args <- commandArgs(TRUE)
options(contrasts = c("contr.treatment", "contr.poly"), warn = 1, width = 110)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5),
                     calc.derivs = FALSE, check.conv.singular = "ignore")
read <- function(folder, name, factors) {
  d <- read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = TRUE)
  for (f in factors) d[[f]] <- factor(d[[f]])
  d
}
tables <- list(
  sleepstudy = read(args[2], "sleepstudy", "Subject"), cake = read(args[1], "cake", c("replicate", "temperature")),
  ratpup = read(args[1], "ratpup", "Litter"), pastes = read(args[1], "pastes", c()),
  penicillin = read(args[1], "penicillin", c()), dyestuff = read(args[1], "dyestuff", c()),
  dyestuff2 = read(args[1], "dyestuff2", c()))
tables$dyestuff2$x <- rep(c(0.3, -1.2, 0.8, 2.1, -0.5), 6)   # a predictor for a singular model
tables$ratpup_holes <- subset(tables$ratpup, !(Treatment == "High" & sex == "Male"))

weight_column <- function(w) if (is.null(w)) NULL else as.name(w)
fit <- function(data, formula, reml = TRUE, weights = NULL, contrasts = NULL)
  eval(bquote(lmerTest::lmer(.(as.formula(formula)), tables[[.(data)]], REML = .(reml),
                             weights = .(weight_column(weights)), contrasts = .(contrasts), control = tight)))
columns <- function(x) c(list(rows = rownames(as.data.frame(x))), as.list(as.data.frame(x)), list(printed = table_lines(x)))
table_lines <- function(x) {   # without the lines above the table
  lines <- capture.output(print(x))
  lines <- lines[which(grepl("npar|Sum Sq|Sum of Sq", lines))[1]:length(lines)]
  gsub("[\u2018\u2019]", "'", lines)
}
with_case <- function(case, result) c(case, list(result = result))

comparisons <- lapply(list(
  list(data = "sleepstudy", formulas = c("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days || Subject)", "Reaction ~ Days + (Days | Subject)")),
  list(data = "sleepstudy", formulas = c("Reaction ~ Days + (Days | Subject)", "Reaction ~ 1 + (Days | Subject)")),
  list(data = "sleepstudy", formulas = c("Reaction ~ 1 + (Days | Subject)", "Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + I(Days^2) + (Days | Subject)"), weights = "w"),
  list(data = "sleepstudy", formulas = c("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)"), refit = FALSE),
  list(data = "cake", formulas = c("angle ~ recipe * temperature + (1 | recipe:replicate)", "angle ~ temperature + (1 | recipe:replicate)", "angle ~ 1 + (1 | recipe:replicate)")),
  list(data = "ratpup", formulas = c("weight ~ Lsize + Treatment + sex + (1 | Litter)", "weight ~ Lsize + Treatment * sex + (sex | Litter)"), reml = FALSE),
  list(data = "pastes", formulas = c("strength ~ 1 + (1 | batch)", "strength ~ 1 + (1 | batch/cask)")),
  list(data = "penicillin", formulas = c("diameter ~ 1 + (1 | plate) + (1 | sample)", "diameter ~ 1 + (1 | sample)"), refit = FALSE)
), function(case) {
  fits <- lapply(case$formulas, function(f) fit(case$data, f, if (is.null(case$reml)) TRUE else case$reml, case$weights))
  a <- suppressMessages(do.call(anova, c(lapply(fits, as, "lmerMod"), list(refit = is.null(case$refit), model.names = paste0("m", seq_along(fits))))))
  with_case(case, columns(a))
})

deletions <- lapply(list(
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days || Subject)"),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", reml = FALSE),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", weights = "w"),
  list(data = "sleepstudy", formula = "Reaction ~ Days + offset(off) + (1 | Subject)"),
  list(data = "cake", formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  list(data = "cake", formula = "angle ~ recipe + temp + (temp | recipe:replicate)"),
  list(data = "ratpup", formula = "weight ~ Lsize + Treatment + sex + (1 | Litter)"),
  list(data = "ratpup", formula = "weight ~ Lsize + Treatment + sex + (1 | Litter)", contrasts = list(Treatment = "contr.sum")),
  list(data = "ratpup", formula = "weight ~ Lsize * Treatment + Treatment:sex + (sex | Litter)"),
  list(data = "ratpup_holes", formula = "weight ~ Lsize + Treatment * sex + (1 | Litter)"),
  list(data = "pastes", formula = "strength ~ 1 + (1 | batch/cask)"),
  list(data = "penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  list(data = "dyestuff2", formula = "Yield ~ x + (1 | Batch)")
), function(case) {
  reml <- is.null(case$reml)
  m <- fit(case$data, case$formula, reml, case$weights, case$contrasts)
  has_fixed <- length(attr(terms(m), "term.labels")) > 0
  result <- list(ranova = columns(suppressMessages(ranova(m))),
                 ranova_whole = columns(suppressMessages(ranova(m, reduce.terms = FALSE))),
                 theta_sigma_vcov = m@vcov_varpar)
  if (has_fixed) {
    result$drop1 <- columns(drop1(m))
    result$drop1_chisq <- columns(suppressMessages(drop1(as(m, "lmerMod"), test = "Chisq")))
    if (reml && is.null(case$weights)) result$drop1_kr <- columns(drop1(m, ddf = "Kenward-Roger"))
  }
  with_case(case, result)
})

eliminations <- lapply(list(
  list(data = "cake", formula = "angle ~ recipe * temperature + (temp | recipe:replicate)"),
  list(data = "cake", formula = "angle ~ recipe * temp + (1 | recipe:replicate)", keep = "recipe"),
  list(data = "ratpup", formula = "weight ~ Lsize + Treatment * sex + (sex | Litter)"),
  list(data = "sleepstudy", formula = "Reaction ~ Days + I(Days^2) + (Days | Subject)"),
  list(data = "dyestuff2", formula = "Yield ~ x + (1 | Batch)")
), function(case) {
  m <- fit(case$data, case$formula)
  s <- if (is.null(case$keep)) step(m) else step(m, keep = case$keep)
  with_case(case, list(random = columns(s$random), fixed = columns(s$fixed), formula = deparse(formula(attr(s, "model")))))
})

shares <- lapply(list(   # without (x || g), of which performance 0.10 takes the intercept only
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)"),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (1 | Subject)"),
  list(data = "cake", formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"),
  list(data = "ratpup", formula = "weight ~ Lsize + Treatment + sex + (sex | Litter)"),
  list(data = "pastes", formula = "strength ~ 1 + (1 | batch/cask)"),
  list(data = "penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)")
), function(case) {
  m <- as(fit(case$data, case$formula), "lmerMod")
  d <- tables[[case$data]]
  r <- r2_nakagawa(m); i <- icc(m)
  result <- list(conditional = unname(r$R2_conditional), marginal = unname(r$R2_marginal),
                 adjusted = i$ICC_adjusted, unadjusted = i$ICC_unadjusted)
  if (all(lengths(lme4::ranef(m, condVar = FALSE)) == 1)) { g <- icc(m, by_group = TRUE); result$group <- g$Group; result$icc <- g$ICC }
  with_case(case, result)
})

write(toJSON(list(comparisons = comparisons, deletions = deletions, eliminations = eliminations, shares = shares),
             digits = NA, auto_unbox = TRUE, null = "null", na = "null", pretty = TRUE), args[3])
