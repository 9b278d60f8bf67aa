# Writes pbtest.json: what pbkrtest makes of given simulated likelihood-ratio statistics.
# Run in this folder: Rscript pbtest.R     (lme4 1.1, pbkrtest 0.5)
suppressMessages({library(lme4); library(pbkrtest); library(jsonlite)})
d <- read.csv("../../data/sleepstudy.csv", stringsAsFactors = TRUE); d$Subject <- factor(d$Subject)
fit <- function(f) lmer(as.formula(f), d, REML = FALSE, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9)))
large <- fit("Reaction ~ Days + I(Days^2) + (Days | Subject)")
smaller <- list("Reaction ~ Days + (Days | Subject)", "Reaction ~ 1 + (Days | Subject)")
set.seed(4)
out <- lapply(seq_along(smaller), function(df) {
  reference <- round(rchisq(200, df) * 1.1, 6) + 1e-6
  found <- summary(PBmodcomp(large, fit(smaller[[df]]), ref = reference))
  list(large = "Reaction ~ Days + I(Days^2) + (Days | Subject)", small = smaller[[df]], df = df, reference = reference,
       rows = rownames(found$test), stat = found$test$stat, ddf = found$test$ddf, p_value = found$test$p.value)
})
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE), "pbtest.json")
