-- analysis.open_study("outputs/reference").sql(…)
SELECT cell, activation, init, depth, lr, seed, step, layer, units, signal_grad_rms, z_collapse, dead_units, weight_grad_norm, weight_norm
FROM layers JOIN networks USING (cell)
WHERE training = 1 AND depth >= 2 AND step = 0
ORDER BY cell, step, layer;
