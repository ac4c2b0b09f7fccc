"""The stages. Each is a file with ``run(config, inputs…, folder, …) -> summary`` that writes one artifact into
``folder``, and goes on where an earlier call on that folder was interrupted. Stages do not know each other;
`worldmodels.pipeline.pipeline` does.
"""
