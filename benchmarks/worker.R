# Measure lme4 on one workload, in a process of its own: the counterpart of worker.py, with the same arguments
# (without the package) and the same lines of output.

MANY <- 200

say <- function(name, ...) cat(paste0(name, ":"), ..., "\n")

exact <- function(values) sprintf("%.17g", as.numeric(values))

now <- function() as.numeric(Sys.time())

peak_memory <- function() {
  line <- grep("^VmHWM", readLines("/proc/self/status"), value = TRUE)
  as.numeric(strsplit(line, "[[:space:]]+")[[1]][2]) / 1024
}

read_frame <- function(folder) {
  columns <- read.table(file.path(folder, "columns.txt"), col.names = c("name", "kind"), stringsAsFactors = FALSE)
  frame <- list()
  for (i in seq_len(nrow(columns))) {
    path <- file.path(folder, columns$name[i])
    what <- if (columns$kind[i] == "double") "double" else "integer"
    width <- if (what == "double") 8 else 4
    file <- paste0(path, ".bin")
    values <- readBin(file, what, n = file.size(file) / width, size = width, endian = "little")
    if (columns$kind[i] == "factor") {
      values <- structure(values + 1L, levels = readLines(paste0(path, ".levels")), class = "factor")
    }
    frame[[columns$name[i]]] <- values
  }
  structure(frame, class = "data.frame", row.names = .set_row_names(length(frame[[1]])))
}

timed <- function(call, seconds, long) {
  start <- now()
  result <- call()
  first <- now() - start
  if (first >= long) return(list(times = first, result = result))
  times <- numeric(0)
  gc()
  while (length(times) == 0 || (sum(times) < seconds && length(times) < MANY)) {
    result <- NULL
    start <- now()
    result <- call()
    times <- c(times, now() - start)
  }
  list(times = times, result = result)
}

measure <- function(kind, folder, formula, reml, seconds, long, new_folder, replicates) {
  if (kind == "import") {
    start <- now()
    suppressPackageStartupMessages(library(lme4))
    return(say("seconds", exact(now() - start)))
  }
  suppressPackageStartupMessages(library(lme4))
  data <- read_frame(folder)
  fit <- function() suppressMessages(suppressWarnings(lmer(as.formula(formula), data, REML = reml)))
  if (kind == "predict") {
    model <- fit()
    newdata <- read_frame(new_folder)
    found <- timed(function() predict(model, newdata), seconds, long)
    say("seconds", exact(found$times))
    return(say("objective", exact(mean(found$result^2))))
  }
  if (kind == "bootstrap") {
    model <- fit()
    estimates <- function(model) c(fixef(model), as.data.frame(VarCorr(model))$vcov)
    found <- timed(function() suppressMessages(suppressWarnings(
      bootMer(model, estimates, nsim = replicates, seed = 1, use.u = FALSE, type = "parametric")
    )), seconds, long)
    say("seconds", exact(found$times))
    return(say("objective", exact(sd(found$result$t[, 1]))))
  }
  if (kind == "responses") {
    model <- fit()
    responses <- read_frame(new_folder)
    loop <- function() sapply(responses, function(y) fixef(suppressMessages(suppressWarnings(refit(model, y))))[1])
    found <- timed(loop, seconds, long)
    say("seconds", exact(found$times))
    return(say("objective", exact(mean(found$result))))
  }
  if (kind == "profile") {
    limits <- function() suppressMessages(suppressWarnings(confint(fit(), method = "profile", quiet = TRUE)))
    found <- timed(limits, seconds, long)
    say("seconds", exact(found$times))
    return(say("objective", exact(found$result[".sigma", 2])))
  }
  found <- timed(fit, seconds, long)
  model <- found$result
  say("seconds", exact(found$times))
  say("objective", exact(if (reml) REMLcrit(model) else deviance(model, REML = FALSE)))
  say("evaluations", model@optinfo$feval)
  conv <- model@optinfo$conv
  say("converged", as.integer(conv$opt == 0 && is.null(conv$lme4$code)))
}

arguments <- commandArgs(trailingOnly = TRUE)
tryCatch(
  measure(arguments[1], arguments[2], arguments[3], arguments[4] == "1", as.numeric(arguments[5]),
          as.numeric(arguments[6]), arguments[7], as.integer(arguments[8])),
  error = function(e) say("failure", gsub("[[:space:]]+", " ", conditionMessage(e)))
)
say("memory", exact(peak_memory()))
