-- analysis.open_study("outputs/reference").sql(…)
SELECT cell, activation, init, depth, lr, seed, step, layer, units, signal_grad_rms, dead_units, saturated_share, twin_units
FROM layers JOIN networks USING (cell)
WHERE training = 1 AND true
ORDER BY cell, step, layer;
