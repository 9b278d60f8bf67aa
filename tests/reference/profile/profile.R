# Writes profile.json: lme4's profile likelihood intervals, from profiles with a fifth of the default step.
# Run in this folder: Rscript profile.R     (lme4 1.1)
suppressMessages({library(lme4); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.treatment"), warn = 1)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-8, maxfun = 1e5),
                     calc.derivs = FALSE, check.conv.singular = "ignore")
bundled <- "../../../python/henderson/datasets"
cases <- list(
  list("sleepstudy_ml", "../../data/sleepstudy.csv", "Reaction ~ Days + (Days | Subject)", "Subject"),
  list("sleepstudy_uncorrelated", "../../data/sleepstudy.csv", "Reaction ~ Days + (Days || Subject)", "Subject"),
  list("dyestuff_ml", file.path(bundled, "dyestuff.csv"), "Yield ~ 1 + (1 | Batch)", NULL),
  list("dyestuff2_singular", file.path(bundled, "dyestuff2.csv"), "Yield ~ 1 + (1 | Batch)", NULL),
  list("penicillin", file.path(bundled, "penicillin.csv"), "diameter ~ 1 + (1 | plate) + (1 | sample)", NULL),
  list("pastes_nested", file.path(bundled, "pastes.csv"), "strength ~ 1 + (1 | batch/cask)", NULL),
  list("ratpup_intercept", file.path(bundled, "ratpup.csv"), "weight ~ Lsize + Treatment + sex + (1 | Litter)", "Litter"),
  list("weighted", "../../data/sleepstudy.csv", "Reaction ~ Days + (Days | Subject)", "Subject"))
out <- lapply(cases, function(case) {
  d <- read.csv(case[[2]], stringsAsFactors = TRUE)
  for (f in case[[4]]) d[[f]] <- factor(d[[f]])
  d$.w <- if (case[[1]] == "weighted") d$w else 1
  m <- lmer(as.formula(case[[3]]), d, REML = FALSE, weights = .w, control = tight)
  m <- update(m, start = getME(m, "theta"))
  found <- suppressWarnings(confint(profile(m, delta = 0.1, signames = FALSE), level = 0.95))
  list(name = case[[1]], parameters = rownames(found), lower = unname(found[, 1]), upper = unname(found[, 2]))
})
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE), "profile.json")
