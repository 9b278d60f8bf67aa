# Cluster-robust covariance matrices and tests of clubSandwich 0.5.8 for lmer fits of lme4 1.1 (R 4.2, Debian 12).
# Writes clubsandwich.json. Run in this folder: Rscript clubsandwich.R
#
# clubSandwich refuses prior weights; the weighted fit is that of the columns times the square roots of the weights.
suppressMessages({
  library(lme4)
  library(clubSandwich)
  library(jsonlite)
})

read <- function(name, factors = character()) {
  path <- file.path("../../data", paste0(name, ".csv"))
  if (!file.exists(path)) path <- file.path("../../../python/henderson/datasets", paste0(name, ".csv"))
  table <- read.csv(path, stringsAsFactors = TRUE)
  for (column in factors) table[[column]] <- factor(table[[column]])
  table
}

fit <- function(formula, data, REML = TRUE) {
  control <- lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-10, maxfun = 1e6), calc.derivs = FALSE
  )
  lmer(formula, data, REML = REML, control = control)
}

results <- function(model, cluster = NULL) {
  p <- length(fixef(model))
  kinds <- list()
  for (kind in c("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")) {
    V <- if (is.null(cluster)) vcovCR(model, type = kind) else vcovCR(model, cluster = cluster, type = kind)
    tests <- coef_test(model, vcov = V, test = "Satterthwaite")
    kinds[[kind]] <- list(
      vcov = unname(as.matrix(V)), # rows
      df = if (is.null(tests$df_Satt)) tests$df else tests$df_Satt,
      p_value = if (is.null(tests$p_Satt)) tests$p_val else tests$p_Satt
    )
    if (p > 1) {
      rows <- seq(2, p)
      joint <- Wald_test(model, constraints = diag(p)[rows, , drop = FALSE], vcov = V, test = "HTZ")
      kinds[[kind]]$joint <- list(statistic = joint$Fstat, num_df = joint$df_num, den_df = joint$df_denom)
    }
  }
  list(names = names(fixef(model)), kinds = kinds)
}

sleepstudy <- read("sleepstudy", "Subject")
cake <- read("cake", "replicate")
ratpup <- read("ratpup", "Litter")
pastes <- read("pastes")
root <- sqrt(sleepstudy$w)
scaled <- with(sleepstudy, data.frame(y = root * Reaction, one = root, days = root * Days, Subject = Subject))
week <- ceiling(as.integer(sleepstudy$Subject) / 2) # a cluster that contains subjects

found <- list(
  sleepstudy = results(fit(Reaction ~ Days + (Days | Subject), sleepstudy)),
  sleepstudy_ml = results(fit(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE)),
  sleepstudy_pairs = results(fit(Reaction ~ Days + (Days | Subject), sleepstudy), cluster = factor(week)),
  weighted = results(fit(y ~ 0 + one + days + (0 + one + days | Subject), scaled)),
  cake = results(fit(angle ~ recipe * temp + (1 | recipe:replicate), cake)),
  ratpup_intercept = results(fit(weight ~ Lsize + Treatment + sex + (1 | Litter), ratpup)),
  ratpup_slope = results(fit(weight ~ Lsize + Treatment + sex + (sex | Litter), ratpup)),
  ratpup_uncorrelated = results(fit(weight ~ Lsize + Treatment + sex + (1 | Litter) + (1 | Litter:sex), ratpup)),
  pastes_nested = results(fit(strength ~ 1 + (1 | batch / cask), pastes))
)
writeLines(toJSON(found, digits = 15, auto_unbox = TRUE, pretty = 1), "clubsandwich.json")
