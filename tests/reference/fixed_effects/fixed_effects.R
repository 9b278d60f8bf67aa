# Writes fixed_effects.json: tables of lmerTest 3.1-3 (anova of types I, II and III with both methods, joint contrasts).
#   Rscript fixed_effects.R FOLDER_OF_CSV OUT.json
# needs (Debian): r-cran-lme4 r-cran-lmertest r-cran-pbkrtest r-cran-jsonlite
# The same cases, by name, are in tests/fixed_effects_cases.py. Fits are restarted from a tight optimum three times.
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(jsonlite)})
args <- commandArgs(TRUE)
options(contrasts = c("contr.treatment", "contr.poly"), warn = 1)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5),
                     calc.derivs = FALSE, check.conv.singular = "ignore")
read <- function(name) read.csv(file.path(args[1], paste0(name, ".csv")), stringsAsFactors = TRUE)

cake <- read("cake")
cake$replicate <- factor(cake$replicate)
cake$temperature <- factor(cake$temperature)
cake$half <- factor(ifelse(as.integer(cake$replicate) <= 7, "early", "late"))
row <- seq_len(nrow(cake))
uneven <- cake[(row * 7) %% 11 > 2 & (row * 5) %% 13 != 0, ]
holes <- uneven[!(uneven$recipe == "B" & uneven$temperature %in% c("185", "225")), ]
ordered <- transform(uneven, temperature = factor(temperature, ordered = TRUE))
ratpup <- transform(read("ratpup"), Litter = factor(Litter))
sleepstudy <- transform(read("sleepstudy"), Subject = factor(Subject))
short <- sleepstudy[(seq_len(nrow(sleepstudy)) * 7) %% 10 > 1, ]

cases <- list(
  cake = list(cake, angle ~ recipe * temp + (1 | recipe:replicate)),
  ratpup = list(ratpup, weight ~ Treatment * sex + Lsize + (1 | Litter)),
  ratpup_covariate = list(ratpup, weight ~ Treatment * Lsize + sex + (1 | Litter)),
  sleepstudy = list(sleepstudy, Reaction ~ Days + (Days | Subject)),
  sleepstudy_short = list(short, Reaction ~ Days + I(Days^2) + (Days | Subject)),
  three_way = list(uneven, angle ~ half * recipe * temperature + (1 | replicate)),
  three_way_sum = list(uneven, angle ~ half * recipe * temperature + (1 | replicate),
                       list(half = "contr.sum", recipe = "contr.sum", temperature = "contr.sum")),
  two_way_helmert = list(uneven, angle ~ recipe * half + temp + (1 | replicate),
                         list(half = "contr.helmert", recipe = "contr.helmert")),
  ordered = list(ordered, angle ~ recipe * temperature + (1 | replicate)),
  empty_cells = list(holes, angle ~ recipe * temperature + half + (1 | replicate)),
  no_intercept = list(uneven, angle ~ 0 + recipe + temperature + half + (1 | replicate)),
  slopes = list(uneven, angle ~ recipe * half + recipe:temp + temp + (1 | replicate)),
  nested = list(uneven, angle ~ half / recipe + temp + (1 | replicate) + (1 | recipe:replicate))
)

table_of <- function(m, type, ddf) {
  a <- as.data.frame(anova(m, type = type, ddf = ddf))
  list(terms = rownames(a), num_df = a$NumDF, den_df = a$DenDF, statistic = a[["F value"]], p_value = a[["Pr(>F)"]],
       sum_sq = a[["Sum Sq"]])
}

out <- list()
for (name in names(cases)) {
  cs <- cases[[name]]
  data <- cs[[1]]
  contrasts <- if (length(cs) > 2) cs[[3]] else NULL
  fit <- function(start = NULL) suppressMessages(lmerTest::lmer(cs[[2]], data, control = tight, start = start,
                                                                contrasts = contrasts))
  m <- fit()
  for (i in 1:3) m <- fit(getME(m, "theta"))
  tables <- list()
  for (type in 1:3) for (ddf in c("Satterthwaite", "Kenward-Roger"))
    tables[[paste(type, ddf)]] <- table_of(m, type, ddf)
  p <- length(fixef(m))
  joint <- lapply(c("Satterthwaite", "Kenward-Roger"), function(ddf) {
    x <- contest(m, diag(p)[seq_len(min(p, 3)), , drop = FALSE], joint = TRUE, ddf = ddf, rhs = rep(1, min(p, 3)))
    list(num_df = x$NumDF, den_df = x$DenDF, statistic = x[["F value"]], p_value = x[["Pr(>F)"]])
  })
  out[[name]] <- list(formula = paste(deparse(cs[[2]], 500), collapse = ""), nobs = nobs(m), singular = isSingular(m),
                      criterion = REMLcrit(m), fixef = as.list(fixef(m)), tables = tables,
                      joint = setNames(joint, c("Satterthwaite", "Kenward-Roger")))
  cat(sprintf("%-18s %10.5f %s\n", name, REMLcrit(m), if (isSingular(m)) "singular" else ""))
}
write(toJSON(out, digits = NA, auto_unbox = TRUE, null = "null", na = "null", pretty = TRUE), args[2])
