# Writes what lme4's predict() says for new rows, with all, some or none of the random effects.
#   Rscript predict.R PACKAGE_DATA_DIR TEST_DATA_DIR OUT.json
# needs (Debian): r-cran-lme4 r-cran-jsonlite
suppressMessages({library(lme4); library(jsonlite)})
args <- commandArgs(TRUE)
options(contrasts = c("contr.treatment", "contr.poly"), warn = 1)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5),
                     calc.derivs = FALSE, check.conv.singular = "ignore")
read <- function(folder, name, factors) {
  d <- read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = TRUE)
  for (f in factors) d[[f]] <- factor(d[[f]])
  d
}
tables <- list(
  sleepstudy = read(args[2], "sleepstudy", "Subject"), cake = read(args[1], "cake", "replicate"),
  RatPupWeight = read(args[1], "ratpup", "Litter"), Pastes = read(args[1], "pastes", c()),
  Penicillin = read(args[1], "penicillin", c()))

days <- list(Days = c(0, 4.5, 9, 12), Subject = c("308", "335", "372", "308"))
strangers <- list(Days = c(0, 4.5, 9), Subject = c("308", "999", "998"))
casks <- list(batch = c("A", "B", "J"), cask = c("a", "c", "b"))
pups <- list(Lsize = c(12, 8, 15), Treatment = c("Control", "High", "Low"), sex = c("Female", "Male", "Female"),
             Litter = c("1", "21", "12"))
cases <- list(
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", new = days, re = c("all", "none", "(1 | Subject)", "(0 + Days | Subject)")),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", new = strangers, re = "all", strangers = TRUE),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days || Subject)", new = days, re = c("all", "(1 | Subject)")),
  list(data = "sleepstudy", formula = "Reaction ~ poly(Days, 2) + (1 | Subject)", new = days, re = c("all", "none"), reml = FALSE),
  list(data = "sleepstudy", formula = "Reaction ~ Days + offset(10 * Days) + (Days | Subject)", new = days, re = c("all", "none")),
  list(data = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)", new = days, re = c("all", "none"), weights = "w"),
  list(data = "Pastes", formula = "strength ~ 1 + (1 | batch/cask)", new = casks, re = c("all", "(1 | batch)", "(1 | batch/cask)")),
  list(data = "Penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)", new = list(plate = c("a", "x"), sample = c("F", "A")), re = c("all", "(1 | plate)", "(1 | sample)")),
  list(data = "cake", formula = "angle ~ recipe * temp + (1 | recipe:replicate)", new = list(recipe = c("A", "C"), temp = c(180, 222), replicate = c("3", "15")), re = c("all", "none")),
  list(data = "RatPupWeight", formula = "weight ~ Lsize + Treatment + sex + (sex | Litter)", new = pups, re = c("all", "none")))

predicted <- function(fit, case) {
  new <- as.data.frame(case$new, stringsAsFactors = FALSE)
  for (name in names(new)) {   # lme4 needs factors with the levels of the fit
    known <- levels(tables[[case$data]][[name]])
    if (!is.null(known)) new[[name]] <- factor(new[[name]], levels = union(known, new[[name]]))
  }
  sapply(case$re, simplify = FALSE, function(re) {
    form <- if (re == "all") NULL else if (re == "none") NA else as.formula(paste("~", re))
    unname(predict(fit, new, re.form = form, allow.new.levels = isTRUE(case$strangers)))
  })
}
results <- lapply(cases, function(case) {
  w <- if (is.null(case$weights)) NULL else as.name(case$weights)
  fit <- eval(bquote(lmer(.(as.formula(case$formula)), tables[[.(case$data)]], REML = .(!isFALSE(case$reml)),
                          weights = .(w), control = tight)))
  c(case[setdiff(names(case), "re")], list(predictions = predicted(fit, case)))
})
write(toJSON(results, auto_unbox = TRUE, digits = NA, pretty = TRUE), args[3])
