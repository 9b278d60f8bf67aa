# Writes broom_mixed.json: tidy, glance and augment of broom.mixed 0.2.9.4 on lmerTest 3.1-3 fits.
#   Rscript broom_mixed.R FOLDER_OF_CSV OUT.json
# needs (Debian): r-cran-broom.mixed r-cran-lme4 r-cran-lmertest r-cran-pbkrtest r-cran-jsonlite
# The cases are those of tests/cases.py, by name; "missing" is sleepstudy without the responses of rows 3 and 100.
# Fits are restarted from a tight optimum three times. Of augment every seventh row is kept.
suppressMessages({library(lme4); library(lmerTest); library(broom.mixed); library(jsonlite)})
args <- commandArgs(TRUE)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5),
                     calc.derivs = FALSE, check.conv.singular = "ignore")
read <- function(name, factors = character()) {
  d <- read.csv(file.path(args[1], paste0(name, ".csv")), stringsAsFactors = TRUE)
  for (f in factors) d[[f]] <- factor(d[[f]])
  d
}
sleep <- read("sleepstudy", "Subject")
holes <- sleep
holes$Reaction[c(3, 100)] <- NA
pup <- read("ratpup", "Litter")
cases <- list(
  sleepstudy = list(Reaction ~ Days + (Days | Subject), sleep, profile = TRUE),
  sleepstudy_ml = list(Reaction ~ Days + (Days | Subject), sleep, REML = FALSE),
  sleepstudy_uncorrelated = list(Reaction ~ Days + (Days || Subject), sleep),
  dyestuff2_singular = list(Yield ~ 1 + (1 | Batch), read("dyestuff2")),
  penicillin = list(diameter ~ 1 + (1 | plate) + (1 | sample), read("penicillin"), profile = TRUE),
  pastes_nested = list(strength ~ 1 + (1 | batch/cask), read("pastes")),
  cake = list(angle ~ recipe * temp + (1 | recipe:replicate), read("cake", "replicate")),
  ratpup_slope = list(weight ~ Lsize + Treatment + sex + (sex | Litter), pup),
  weighted = list(Reaction ~ Days + (Days | Subject), sleep, weights = sleep$w),
  offset = list(Reaction ~ Days + (1 | Subject), sleep, offset = sleep$off),
  missing = list(Reaction ~ Days + (Days | Subject), holes)
)
columns <- function(table) lapply(as.list(as.data.frame(table)), function(x) if (is.factor(x)) as.character(x) else x)
some <- function(table) table[seq(1, nrow(table), by = 7), ]

out <- list()
for (name in names(cases)) {
  cs <- cases[[name]]
  d <- cs[[2]]
  d$.w <- if (is.null(cs$weights)) 1 else cs$weights
  d$.off <- if (is.null(cs$offset)) 0 else cs$offset
  reml <- if (is.null(cs$REML)) TRUE else cs$REML
  fit <- function(start = NULL) {
    arguments <- list(cs[[1]], d, REML = reml, control = tight, start = start)
    if (!is.null(cs$weights)) arguments$weights <- quote(.w)
    if (!is.null(cs$offset)) arguments$offset <- quote(.off)
    suppressMessages(do.call(lmerTest::lmer, arguments))
  }
  m <- fit()
  for (i in 1:3) m <- fit(getME(m, "theta"))
  r <- list(
    fixed = columns(tidy(m, effects = "fixed", conf.int = TRUE)),
    sdcor = columns(tidy(m, effects = "ran_pars")),
    vcov = columns(tidy(m, effects = "ran_pars", scales = "vcov")),
    ran_vals = columns(tidy(m, effects = "ran_vals", conf.int = TRUE)),
    ran_coefs = columns(tidy(m, effects = "ran_coefs")),
    glance = columns(glance(m)),
    augment = columns(some(augment(m)))
  )
  # pbkrtest ignores weights, and counts a variance of zero as estimated: tests/test_kenward_roger.py has these densely
  if (reml && is.null(cs$weights) && !isSingular(m))
    r$kenward_roger <- columns(tidy(m, effects = "fixed", conf.int = TRUE, ddf.method = "Kenward-Roger"))
  if (isTRUE(cs$profile)) {
    r$profile <- columns(suppressWarnings(tidy(m, conf.int = TRUE, conf.method = "profile")))
  }
  out[[name]] <- r
}
write_json(out, args[2], digits = I(10), na = "null", auto_unbox = FALSE)
