-- analysis.open_study("outputs/reference", against="outputs/reference_alone").sql(…)
SELECT cell, activation, init, depth, lr, seed, step, batch_loss, other_batch_loss
FROM curves JOIN other_curves USING (cell, step) JOIN networks USING (cell)
ORDER BY cell, step;
