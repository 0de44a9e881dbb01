-- analysis.open_study("outputs/reference").sql(…)
SELECT cell, activation, init, depth, lr, seed, step, layer, units, signal_grad_rms
FROM layers JOIN networks USING (cell)
WHERE start = 1 AND step = 0 AND layer < depth
ORDER BY cell, step, layer;
